/** WatchMetadata as the pieces of its answers: all watchers are sent the same bytes, which were encoded once. */
import type { WatchMetadataRequest } from '@fleetmq/gen/controller/cluster';
import { type MetadataImage, unsupportedFeature } from '@fleetmq/metadata';
import { checkVersion } from '@fleetmq/metadata/wire';
import { DomainError, toSafeInteger } from '@fleetmq/shared';
import type { MetadataFeed } from '../shell/metadata-feed.ts';
import { toMap } from '../wire/commands.ts';
import { encodeWatchMessage } from '../wire/watch.ts';

export interface WatchMetadataOptions {
  readonly image: () => MetadataImage;
  readonly feed: MetadataFeed;
  /** Aborts when the server closes: watches then end. */
  readonly stopping: AbortSignal;
}

export async function* watchMetadata(
  { image, feed, stopping }: WatchMetadataOptions,
  request: WatchMetadataRequest,
  callSignal: AbortSignal,
): AsyncGenerator<Uint8Array[]> {
  checkVersion(request.version);
  const fromVersion = toSafeInteger<number>(request.fromVersion, 'from_version');
  const signal = AbortSignal.any([callSignal, stopping]);
  const known = toMap(request.features);
  for await (const message of feed.watch({ fromVersion, watcher: request.watcher.slice(0, 64) }, signal)) {
    // At the begin, and when a higher level comes into use meanwhile.
    const why = unsupportedFeature(image().cluster.features, known);
    if (why !== undefined) throw new DomainError('UNSUPPORTED_VERSION', `the watcher is too old: ${why}`);
    yield encodeWatchMessage(message);
  }
  stopping.throwIfAborted();
}
