/**
 * A private network for one run: each node in a network namespace of its own, joined by a bridge in the host's namespace,
 * where the clients are. Link faults come and go by name; each changes the firewalls of the nodes that it concerns.
 */
import { assert } from '@fleetmq/shared';
import { run } from './command.ts';
import { clients, type LinkFault, type NodeName, rulesetOf } from './links.ts';
import type { Slot } from './slot.ts';

export class PrivateNetwork {
  readonly #slot: Slot;
  readonly #nodes: readonly NodeName[];
  readonly #faults = new Map<string, LinkFault>();
  /** As it was last applied. */
  readonly #rulesets = new Map<NodeName, string>();
  #applying: Promise<void> = Promise.resolve();

  private constructor(slot: Slot, nodes: readonly NodeName[]) {
    this.#slot = slot;
    this.#nodes = nodes;
  }

  /** At most 200 nodes. It goes with the slot. */
  static async create(slot: Slot, nodes: readonly NodeName[]): Promise<PrivateNetwork> {
    assert(nodes.length <= 200, `${nodes.length} nodes do not fit into a /24`);
    const network = new PrivateNetwork(slot, nodes);
    const { prefix } = slot;
    const host = [
      `link add ${prefix} type bridge`,
      `addr add ${network.addressOf(clients)}/24 dev ${prefix}`,
      `link set ${prefix} up`,
    ];
    await run('ip', ['-batch', '-'], host.join('\n'));
    for (const node of nodes) {
      const name = network.#namespaceOf(node);
      const pair = `link add ${name} type veth peer name eth0 netns ${name}`;
      await run('ip', ['-batch', '-'], [`netns add ${name}`, pair, `link set ${name} master ${prefix} up`].join('\n'));
      const inside = [`addr add ${network.addressOf(node)}/24 dev eth0`, 'link set lo up', 'link set eth0 up'];
      await run('ip', ['-netns', name, '-batch', '-'], inside.join('\n'));
    }
    return network;
  }

  addressOf(node: NodeName): string {
    const subnet = `10.213.${this.#slot.number}`;
    if (node === clients) return `${subnet}.254`;
    const position = this.#nodes.indexOf(node);
    assert(position >= 0, `there is no node ${node}`);
    return `${subnet}.${position + 1}`;
  }

  /** What a process is started through to live on that node. It sees the host's mounts, not a copy that would keep them busy. */
  through(node: NodeName): readonly string[] {
    return ['nsenter', `--net=/var/run/netns/${this.#namespaceOf(node)}`];
  }

  /** Resolves when it holds on all nodes. */
  inject(name: string, fault: LinkFault): Promise<void> {
    this.#faults.set(name, fault);
    return this.#apply();
  }

  heal(name: string): Promise<void> {
    this.#faults.delete(name);
    return this.#apply();
  }

  healAll(): Promise<void> {
    this.#faults.clear();
    return this.#apply();
  }

  #namespaceOf(node: NodeName): string {
    return `${this.#slot.prefix}-${node}`;
  }

  /** One after the other: two faults may come at once. */
  #apply(): Promise<void> {
    this.#applying = this.#applying.then(async () => {
      const faults = [...this.#faults.values()];
      await Promise.all(this.#nodes.map((node) => this.#applyTo(node, faults)));
    });
    return this.#applying;
  }

  async #applyTo(node: NodeName, faults: readonly LinkFault[]): Promise<void> {
    const ruleset = rulesetOf(node, faults, (each) => this.addressOf(each));
    if (this.#rulesets.get(node) === ruleset) return;
    const [program, ...parameters] = [...this.through(node), 'nft', '-f', '-'];
    await run(program as string, parameters, ruleset);
    this.#rulesets.set(node, ruleset);
  }
}
