/**
 * AdminService: every call goes to the leader of the controllers. After a change the answer waits until this gateway knows
 * it too, so that whoever made a topic here can write to it here at once.
 */
import type { DescMessage, DescMethodUnary, MessageShape } from '@bufbuild/protobuf';
import type { HandlerContext, ServiceImpl } from '@connectrpc/connect';
import { AdminService } from '@fleetmq/gen/controller/admin';
import type { ControllerCalls } from '@fleetmq/metadata/link';
import { assert } from '@fleetmq/shared';
import { type ServiceRoutes, typedRoutes } from '@fleetmq/shared/runtime';
import { budgetMs } from '../shell/leader-calls.ts';
import { forwardedHeaders, type Upstreams } from '../shell/upstreams.ts';

export interface AdminDeps {
  readonly calls: ControllerCalls;
  readonly upstreams: Upstreams;
}

const timeoutDefaultMs = 30_000;
/** Longest wait for the metadata to contain a change; it takes milliseconds unless the watch is broken. */
const catchUpMs = 2_000;
/** Calls that change nothing: repeating them does no harm. */
const reads = /^(describe|list|evaluate)/;

export function adminRoutes(deps: AdminDeps): ServiceRoutes {
  const handlers = AdminService.methods.map((method) => {
    assert(method.methodKind === 'unary', `${method.name} is not unary: it needs a way of its own`);
    return [method.localName, forward(method as DescMethodUnary, deps)];
  });
  return typedRoutes(AdminService, Object.fromEntries(handlers) as ServiceImpl<typeof AdminService>);
}

function forward<I extends DescMessage, O extends DescMessage>(method: DescMethodUnary<I, O>, deps: AdminDeps) {
  const idempotent = reads.test(method.localName);
  return async (request: MessageShape<I>, context: HandlerContext): Promise<MessageShape<O>> => {
    const { signal } = context;
    const headers = forwardedHeaders({ header: (name) => context.requestHeader.get(name) ?? undefined });
    const timeoutMs = budgetMs(context.timeoutMs(), timeoutDefaultMs);
    // A message of this shape is a valid initial value of itself.
    const answer = await deps.calls.unary(method, request as never, { signal, timeoutMs, idempotent, headers });
    const { metadataVersion } = answer as { metadataVersion?: bigint };
    if (!idempotent && metadataVersion !== undefined) {
      await deps.upstreams.reachVersion(Number(metadataVersion), catchUpMs, signal);
    }
    return answer;
  };
}
