/** The data folder of a simulated node: which disk it is and which cluster it belongs to, kept on that disk. */
import { type Disk, DomainError, type Random } from '@fleetmq/shared';
import type { DataFolder } from '@fleetmq/shared/runtime';

const path = 'meta.json';

interface Meta {
  readonly diskId: string;
  readonly clusterId: string;
}

export async function openSimFolder(disk: Disk, random: Random): Promise<DataFolder> {
  // As the real one, which writes its owner into the folder at each start.
  await disk.syncFolder('');
  const bytes = await disk.readFile(path);
  const fresh = bytes === undefined;
  let meta: Meta = fresh ? newMeta(random) : (JSON.parse(new TextDecoder().decode(bytes)) as Meta);
  const write = (): Promise<void> => disk.writeFileAtomic(path, new TextEncoder().encode(JSON.stringify(meta)));
  if (fresh) await write();
  return {
    disk,
    fresh,
    diskId: meta.diskId,
    get clusterId() {
      return meta.clusterId === '' ? undefined : meta.clusterId;
    },
    async bindCluster(clusterId: string): Promise<void> {
      if (meta.clusterId === clusterId) return;
      if (meta.clusterId !== '') throw new DomainError('WRONG_CLUSTER', `${meta.clusterId} is not ${clusterId}`);
      meta = { ...meta, clusterId };
      await write();
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

function newMeta(random: Random): Meta {
  const diskId = Array.from(random.bytes(8), (byte) => byte.toString(16).padStart(2, '0')).join('');
  return { diskId, clusterId: '' };
}
