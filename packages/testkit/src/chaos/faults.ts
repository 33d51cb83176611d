/**
 * The faults: what each breaks, and how it is mended. A fault holds the seats whose processes it touches until it is mended;
 * links may be cut by several faults at a time. One that is not possible now (no leader, a seat is held) is not begun.
 */
import type { Random } from '@fleetmq/shared';
import { brokerNode, gatewayNode, type Seat } from './cluster.ts';
import { failFsync } from './failing-fsync.ts';
import { between, type Fault, type FaultContext } from './fault.ts';
import { clients, cutBetween, cutToward, type LinkFault } from './links.ts';
import { transferLeadership } from './members.ts';
import { fillDisk, freeDisk } from './small-disk.ts';

export const faultKinds = [
  'kill',
  'kill-leader',
  'kill-all',
  'pause',
  'pause-leader',
  'isolate',
  'isolate-leader',
  'split',
  'one-way',
  'one-way-leader',
  'loss',
  'disk-full',
  'failing-fsync',
  'restart',
  'restart-leader',
  'transfer',
] as const;

export type FaultKind = (typeof faultKinds)[number];

type Begin = (context: FaultContext, random: Random) => Promise<Fault | undefined>;

/** Undefined: not possible now. */
export function beginFault(kind: FaultKind, context: FaultContext): Promise<Fault | undefined> {
  return beginnings[kind](context, context.random);
}

const beginnings: Readonly<Record<FaultKind, Begin>> = {
  kill: (context) => onSeat(context, anySeat(context), kill),
  'kill-leader': (context) => onSeat(context, context.leaders.current, kill),
  'kill-all': killAll,
  pause: (context) => onSeat(context, anySeat(context), pause),
  'pause-leader': (context) => onSeat(context, context.leaders.current, pause),
  isolate: (context) => isolate(context, anySeat(context)),
  'isolate-leader': (context) => isolate(context, context.leaders.current),
  split,
  'one-way': (context) => oneWay(context, anySeat(context)),
  'one-way-leader': (context) => oneWay(context, context.leaders.current),
  loss,
  'disk-full': (context) => onSeat(context, smallDisk(context), fill),
  'failing-fsync': (context) => onSeat(context, anySeat(context), failFsync),
  restart: (context) => onSeat(context, anySeat(context), restart),
  'restart-leader': (context) => onSeat(context, context.leaders.current, restart),
  transfer: async (context) => {
    const text = await transferLeadership(context.cluster, context.random);
    return text === undefined ? undefined : { ...harmless, text };
  },
};

const harmless: Pick<Fault, 'victims' | 'endsLeadership' | 'lastsMs' | 'mend'> = {
  victims: [],
  endsLeadership: false,
  lastsMs: 0,
  mend: async () => undefined,
};

/** Holds the seat while the fault lasts. */
async function onSeat(
  context: FaultContext,
  seat: Seat | undefined,
  begin: (context: FaultContext, seat: Seat) => Promise<Fault>,
): Promise<Fault | undefined> {
  if (seat === undefined || seat.isHeld) return undefined;
  seat.isHeld = true;
  const endsLeadership = seat === context.leaders.current;
  const fault = await begin(context, seat);
  return {
    ...fault,
    endsLeadership: fault.endsLeadership && endsLeadership,
    mend: async () => {
      await fault.mend();
      seat.isHeld = false;
    },
  };
}

async function kill({ cluster, random }: FaultContext, seat: Seat): Promise<Fault> {
  await cluster.kill(seat);
  return {
    text: `SIGKILL of controller ${seat.id}`,
    victims: [seat],
    endsLeadership: true,
    lastsMs: between(random, 500, 6_000),
    mend: () => cluster.start(seat),
  };
}

/** With members that wait to be added. */
async function killAll({ cluster, random }: FaultContext): Promise<Fault | undefined> {
  const { seats } = cluster;
  if (seats.some(({ isHeld }) => isHeld)) return undefined;
  for (const seat of seats) seat.isHeld = true;
  await Promise.all(seats.map((seat) => cluster.kill(seat)));
  return {
    text: 'SIGKILL of all controllers',
    victims: seats,
    endsLeadership: false,
    lastsMs: between(random, 0, 2_000),
    mend: async () => {
      await Promise.all(seats.map((seat) => cluster.start(seat)));
      for (const seat of seats) seat.isHeld = false;
    },
  };
}

async function pause({ cluster, random }: FaultContext, seat: Seat): Promise<Fault> {
  cluster.pause(seat);
  return {
    text: `SIGSTOP of controller ${seat.id}`,
    victims: [seat],
    endsLeadership: true,
    lastsMs: between(random, 5_000, 30_000),
    mend: async () => cluster.resume(seat),
  };
}

/** From the other controllers alone, or from clients and brokers, too. */
async function isolate(context: FaultContext, seat: Seat | undefined): Promise<Fault | undefined> {
  if (seat === undefined) return undefined;
  const { cluster, leaders, random } = context;
  const others = cluster.seats.filter((each) => each !== seat).map(({ node }) => node);
  const isWhole = random.next() < 0.4;
  return cut(
    context,
    { cuts: cutBetween([seat.node], isWhole ? [...others, ...notControllers] : others) },
    {
      text: `controller ${seat.id} is cut off from ${isWhole ? 'everybody' : 'the other controllers'}`,
      victims: [seat],
      endsLeadership: seat === leaders.current,
    },
  );
}

async function split(context: FaultContext): Promise<Fault | undefined> {
  const { cluster, leaders, random } = context;
  const shuffled = cluster.seats.map((seat) => ({ seat, place: random.next() })).sort((a, b) => a.place - b.place);
  const members = shuffled.map(({ seat }) => seat).filter(({ isMember }) => isMember);
  const minority = members.slice(0, Math.floor((members.length - 1) / 2));
  const majority = cluster.seats.filter((seat) => !minority.includes(seat));
  const nodes = (seats: readonly Seat[]) => seats.map(({ node }) => node);
  const ids = (seats: readonly Seat[]) => seats.map(({ id }) => id).join(', ');
  return cut(
    context,
    { cuts: cutBetween(nodes(minority), nodes(majority)) },
    {
      text: `controllers ${ids(minority)} are split from ${ids(majority)}`,
      victims: minority,
      endsLeadership: leaders.current !== undefined && minority.includes(leaders.current),
    },
  );
}

/** It hears nothing of the others, or the others hear nothing of it; of all of them or of one. */
async function oneWay(context: FaultContext, seat: Seat | undefined): Promise<Fault | undefined> {
  if (seat === undefined) return undefined;
  const { cluster, leaders, random } = context;
  const others = cluster.seats.filter((each) => each !== seat);
  const isDeaf = random.next() < 0.5;
  const isForAll = random.next() < 0.7;
  const one = others[Math.floor(random.next() * others.length)] as Seat;
  const far = (isForAll ? others : [one]).map(({ node }) => node);
  const cuts = isDeaf ? cutToward(far, [seat.node]) : cutToward([seat.node], far);
  const whom = isForAll ? 'the other controllers' : `controller ${one.id}`;
  return cut(
    context,
    { cuts },
    {
      text: `controller ${seat.id} ${isDeaf ? 'hears nothing of' : 'is not heard by'} ${whom}`,
      victims: [seat, ...(isForAll ? [] : [one])],
      endsLeadership: isForAll && seat === leaders.current,
    },
  );
}

async function loss(context: FaultContext): Promise<Fault | undefined> {
  const { cluster, random } = context;
  const some = random.next() < 0.5 ? cluster.seats : cluster.seats.filter(() => random.next() < 0.4);
  if (some.length === 0) return undefined;
  return cut(
    context,
    { losses: some.map(({ node }) => ({ node, percent: 30 })) },
    {
      text: `30 % of the packets of controllers ${some.map(({ id }) => id).join(', ')} are lost`,
      victims: some,
      endsLeadership: false,
    },
  );
}

let linkFaults = 0;

async function cut(
  { network, random }: FaultContext,
  linkFault: LinkFault,
  fault: Pick<Fault, 'text' | 'victims' | 'endsLeadership'>,
): Promise<Fault> {
  const name = `link fault ${++linkFaults}`;
  await network.inject(name, linkFault);
  return { ...fault, lastsMs: between(random, 2_000, 10_000), mend: () => network.heal(name) };
}

/** To the last byte, or until only the reserve is left, where ordinary commands are refused. A node that ends is started again. */
async function fill({ cluster, random, findings }: FaultContext, seat: Seat): Promise<Fault> {
  const leaveBytes = random.next() < 0.5 ? 0 : 4 * 1024 * 1024;
  seat.mayEnd = true;
  fillDisk(seat.dataFolder, leaveBytes);
  return {
    text: `the disk of controller ${seat.id} is filled up to ${leaveBytes} bytes`,
    victims: [seat],
    endsLeadership: true,
    lastsMs: between(random, 2_000, 8_000),
    mend: async () => {
      freeDisk(seat.dataFolder);
      seat.mayEnd = false;
      if (cluster.process(seat).isRunning) return;
      findings.count('controllers that ended on a full disk');
      await cluster.start(seat);
    },
  };
}

/** A clean stop; it is started again when the fault is mended. */
async function restart({ cluster, random }: FaultContext, seat: Seat): Promise<Fault> {
  await cluster.stop(seat);
  return {
    text: `controller ${seat.id} is stopped cleanly`,
    victims: [seat],
    endsLeadership: true,
    lastsMs: between(random, 0, 3_000),
    mend: () => cluster.start(seat),
  };
}

const notControllers = [clients, brokerNode, gatewayNode];

function anySeat({ cluster, random }: FaultContext): Seat | undefined {
  const { members } = cluster;
  return members[Math.floor(random.next() * members.length)];
}

/** The leader's, if it has one. */
function smallDisk(context: FaultContext): Seat | undefined {
  const { cluster, leaders, random } = context;
  if (leaders.current?.hasSmallDisk === true && random.next() < 0.5) return leaders.current;
  const small = cluster.members.filter(({ hasSmallDisk }) => hasSmallDisk);
  return small[Math.floor(random.next() * small.length)];
}
