/** What real faults need of the machine: Linux, root, network namespaces, nft, strace, mount. */
import { run } from './command.ts';
import { rulesetOf } from './links.ts';

/** By program: the package that brings it. */
type Packages = Readonly<Record<string, string>>;

const common: Packages = { ip: 'iproute2', nft: 'nftables', mount: 'mount', nsenter: 'util-linux' };

/** What is missing, and how to get it; undefined: nothing. */
export async function missingRequirement(): Promise<string | undefined> {
  return (await missingBasics({ strace: 'strace' })) ?? (await whyNoTracing());
}

/** Of private networks alone, and of more programs. */
export async function missingBasics(more: Packages): Promise<string | undefined> {
  if (process.platform !== 'linux') return `network namespaces are Linux's own, and this is ${process.platform}`;
  if (process.getuid?.() !== 0) return 'network namespaces and disks of their own need root';
  const absent: string[] = [];
  for (const [program, name] of Object.entries({ ...common, ...more })) {
    await run('sh', ['-c', `command -v ${program}`]).catch(() => absent.push(name));
  }
  if (absent.length > 0) return `programs are missing: apt-get install ${absent.join(' ')}`;
  return await whyNoNamespaces();
}

async function whyNoNamespaces(): Promise<string | undefined> {
  const name = `fmq-probe-${process.pid}`;
  try {
    await run('ip', ['netns', 'add', name]);
    await run('ip', ['link', 'add', 'eth0', 'netns', name, 'type', 'veth', 'peer', 'name', 'eth1', 'netns', name]);
    const ruleset = rulesetOf('c1', [{ losses: [{ node: 'c1', percent: 30 }] }], () => '127.0.0.1');
    await run('ip', ['netns', 'exec', name, 'nft', '-f', '-'], ruleset);
    return undefined;
  } catch (error) {
    return `network namespaces cannot be used here: ${(error as Error).message}`;
  } finally {
    await run('ip', ['netns', 'delete', name]).catch(() => undefined);
  }
}

async function whyNoTracing(): Promise<string | undefined> {
  try {
    const inject = ['-e', 'trace=fsync', '-e', 'inject=fsync:error=EIO:when=1+'];
    await run('strace', ['-D', '-f', '-qq', '-o', '/dev/null', ...inject, 'true']);
    return undefined;
  } catch (error) {
    return `processes cannot be traced here: ${(error as Error).message}`;
  }
}
