/**
 * Server reflection, v1 and v1alpha, for tools such as grpcurl and `buf curl`: which services are mounted here, and the
 * descriptors of their files. Answers from the generated descriptors alone and only for the files that it is given and what
 * they import. Off unless a listener asks for it.
 *
 * v1alpha is the same messages under another package name: its requests are read as v1 and answered as v1, over their
 * common wire form. Spec: https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
 */
import {
  create,
  type DescFile,
  type DescMessage,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { Code } from '@connectrpc/connect';
import {
  ServerReflection,
  type ServerReflectionRequest,
  ServerReflectionRequestSchema,
  ServerReflectionResponseSchema,
} from '@fleetmq/gen/grpc/reflection/v1/reflection';
import {
  ServerReflection as ServerReflectionAlpha,
  ServerReflectionRequestSchema as ServerReflectionRequestAlphaSchema,
  ServerReflectionResponseSchema as ServerReflectionResponseAlphaSchema,
} from '@fleetmq/gen/grpc/reflection/v1alpha/reflection';
import { type ServiceRoutes, typedRoutes } from './lane/raw.ts';

type Answer = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>['messageResponse']>;

/** Both versions of the reflection service over the files of these services. */
export function reflectionRoutes(services: readonly DescService[]): ServiceRoutes[] {
  const answer = createAnswerer(services);
  const respond = (request: ServerReflectionRequest): MessageInitShape<typeof ServerReflectionResponseSchema> => ({
    validHost: request.host,
    originalRequest: request,
    messageResponse: answer(request.messageRequest),
  });
  return [
    typedRoutes(ServerReflection, {
      async *serverReflectionInfo(requests) {
        for await (const request of requests) yield respond(request);
      },
    }),
    typedRoutes(ServerReflectionAlpha, {
      async *serverReflectionInfo(requests) {
        for await (const request of requests) {
          const v1 = recast(ServerReflectionRequestAlphaSchema, request, ServerReflectionRequestSchema);
          const response = create(ServerReflectionResponseSchema, respond(v1));
          yield recast(ServerReflectionResponseSchema, response, ServerReflectionResponseAlphaSchema);
        }
      },
    }),
  ];
}

function recast<Source extends DescMessage, Target extends DescMessage>(
  source: Source,
  message: MessageShape<Source>,
  target: Target,
): MessageShape<Target> {
  return fromBinary(target, toBinary(source, message));
}

function createAnswerer(
  services: readonly DescService[],
): (request: ServerReflectionRequest['messageRequest']) => Answer {
  const files = new Map<string, DescFile>();
  const symbols = new Map<string, DescFile>();
  const addFile = (file: DescFile): void => {
    if (files.has(file.proto.name)) return;
    files.set(file.proto.name, file);
    for (const name of symbolsOf(file)) symbols.set(name, file);
    for (const dependency of file.dependencies) addFile(dependency);
  };
  for (const service of services) addFile(service.file);
  const names = services.map((service) => ({ name: service.typeName })).sort((a, b) => (a.name < b.name ? -1 : 1));

  return (request) => {
    switch (request.case) {
      case 'listServices':
        return { case: 'listServicesResponse', value: { service: names } };
      case 'fileByFilename':
        return fileAnswer(files.get(request.value), `file ${request.value}`);
      case 'fileContainingSymbol':
        return fileAnswer(symbols.get(request.value.replace(/^\./, '')), `symbol ${request.value}`);
      case 'fileContainingExtension':
        return failure(Code.NotFound, 'there are no extensions here');
      case 'allExtensionNumbersOfType':
        return failure(Code.NotFound, 'there are no extensions here');
      default:
        return failure(Code.InvalidArgument, 'the request asks for nothing');
    }
  };
}

function failure(errorCode: number, errorMessage: string): Answer {
  return { case: 'errorResponse', value: { errorCode, errorMessage } };
}

/** The file and everything that it imports, the file first. */
function fileAnswer(file: DescFile | undefined, what: string): Answer {
  if (file === undefined) return failure(Code.NotFound, `${what} is not known here`);
  const closure = new Set<DescFile>();
  const add = (next: DescFile): void => {
    if (closure.has(next)) return;
    closure.add(next);
    for (const dependency of next.dependencies) add(dependency);
  };
  add(file);
  const fileDescriptorProto = [...closure].map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
  return { case: 'fileDescriptorResponse', value: { fileDescriptorProto } };
}

function* symbolsOf(file: DescFile): Iterable<string> {
  for (const service of file.services) {
    yield service.typeName;
    for (const method of service.methods) yield `${service.typeName}.${method.name}`;
  }
  for (const item of file.enums) yield item.typeName;
  for (const message of file.messages) yield* messageSymbols(message);
}

function* messageSymbols(message: DescMessage): Iterable<string> {
  yield message.typeName;
  for (const field of message.fields) yield `${message.typeName}.${field.name}`;
  for (const item of message.nestedEnums) yield item.typeName;
  for (const nested of message.nestedMessages) yield* messageSymbols(nested);
}
