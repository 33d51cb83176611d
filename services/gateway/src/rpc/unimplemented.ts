/** Calls of the contract that are not built yet: each answers UNIMPLEMENTED and says what is missing. */
import type { DescService } from '@bufbuild/protobuf';
import type { ServiceImpl } from '@connectrpc/connect';
import { DomainError } from '@fleetmq/shared';
import { type ServiceRoutes, typedRoutes } from '@fleetmq/shared/runtime';

/** A handler for any unary method. */
export function unimplemented(what: string): () => Promise<never> {
  return () => Promise.reject(new DomainError('UNIMPLEMENTED', `${what} not built yet; docs/rpcs.md lists what works`));
}

/** A handler for any method with a response stream. */
function unimplementedStream(what: string): () => AsyncGenerator<never> {
  // biome-ignore lint/correctness/useYield: it fails before it has anything to yield.
  return async function* fail() {
    await unimplemented(what)();
  };
}

/** A service of which nothing is built. */
export function unimplementedService<Service extends DescService>(service: Service, what: string): ServiceRoutes {
  const handlers = service.methods.map((method) => {
    const streams = method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming';
    return [method.localName, streams ? unimplementedStream(what) : unimplemented(what)];
  });
  return typedRoutes(service, Object.fromEntries(handlers) as ServiceImpl<Service>);
}
