/**
 * What the leader of one partition knows of one follower in one leader epoch: how far it is durable, under which registration,
 * when it was caught up last, and whether it is there at all. leader.ts asks; nothing here decides about the ISR.
 *
 * An end counts only under the registration that confirmed it, and only until the follower's log fails: it may come back
 * empty after that (P14). A follower that is silent is not caught up by having had everything when it fell silent.
 */
import { unconfirmed } from './high-watermark.ts';

export class FollowerAccount {
  #durableEnd: number = unconfirmed;
  /** Registration under which `durableEnd` was confirmed; 0: none. */
  #brokerEpoch = 0;
  /** First offset of its log, as far as it is confirmed. */
  #startOffset = 0;
  /** Last moment at which it had all that the leader had. */
  #caughtUpAtMs: number;
  /** It was caught up as of `markAtMs` once it reaches `markEnd`. */
  #markEnd: number;
  #markAtMs: number;
  #isSilent = false;
  #isFailed = false;

  /** `leaderEnd`: durable end of the leader. */
  constructor(leaderEnd: number, nowMs: number) {
    this.#caughtUpAtMs = nowMs;
    this.#markEnd = leaderEnd;
    this.#markAtMs = nowMs;
  }

  get durableEnd(): number {
    return this.#durableEnd;
  }

  get brokerEpoch(): number {
    return this.#brokerEpoch;
  }

  get startOffset(): number {
    return this.#startOffset;
  }

  /** Nothing has been heard of it since its stream ended. */
  get isSilent(): boolean {
    return this.#isSilent;
  }

  /** Its log has failed, and it has not answered with another one yet. */
  get isFailed(): boolean {
    return this.#isFailed;
  }

  /** It is durable up to `end`, it says. False, and nothing changes, for one of an older registration. */
  onDurable(end: number, brokerEpoch: number): boolean {
    if (brokerEpoch < this.#brokerEpoch) return false;
    this.onRestarted(brokerEpoch);
    this.#durableEnd = Math.max(this.#durableEnd, end);
    this.#isFailed = false;
    return true;
  }

  onStart(startOffset: number): void {
    this.#startOffset = Math.max(this.#startOffset, startOffset);
  }

  /** It has registered anew: what it had confirmed before counts no more. */
  onRestarted(brokerEpoch: number): void {
    if (brokerEpoch <= this.#brokerEpoch) return;
    this.#brokerEpoch = brokerEpoch;
    this.#durableEnd = unconfirmed;
    this.#isFailed = false;
  }

  onFailed(): void {
    this.#durableEnd = unconfirmed;
    this.#isFailed = true;
  }

  /** Heard last at `heardAtMs`: what it had then, it had, and nobody knows what it has had since. */
  onSilent(heardAtMs: number, leaderEnd: number): void {
    if (this.#isSilent) return;
    const hadAll = this.#durableEnd >= leaderEnd;
    this.#caughtUpAtMs = hadAll ? heardAtMs : Math.min(this.#caughtUpAtMs, heardAtMs);
    this.#isSilent = true;
  }

  onHeard(): void {
    this.#isSilent = false;
  }

  /** Whoever had everything at the last mark was caught up then; whoever has everything now is caught up now. */
  noteProgress(leaderEnd: number, nowMs: number): void {
    if (this.#isSilent) return;
    if (this.#durableEnd >= leaderEnd) this.#caughtUpAtMs = nowMs;
    else if (this.#durableEnd >= this.#markEnd) this.#caughtUpAtMs = Math.max(this.#caughtUpAtMs, this.#markAtMs);
    else return;
    this.#markEnd = leaderEnd;
    this.#markAtMs = nowMs;
  }

  /** The leader stood still for so long: that is not on the follower's account. */
  forgive(pauseMs: number, nowMs: number): void {
    this.#caughtUpAtMs = Math.min(nowMs, this.#caughtUpAtMs + pauseMs);
    this.#markAtMs = Math.min(nowMs, this.#markAtMs + pauseMs);
  }

  isLagging(nowMs: number, lagMaxMs: number): boolean {
    return this.#isFailed || nowMs - this.#caughtUpAtMs > lagMaxMs;
  }

  /** Whether it is there, under the registration `liveEpoch`, and has everything up to `end`. */
  hasAll(end: number, liveEpoch: number | undefined): boolean {
    if (this.#isSilent || this.#isFailed || this.#durableEnd === unconfirmed || this.#durableEnd < end) return false;
    return this.#brokerEpoch !== 0 && liveEpoch === this.#brokerEpoch;
  }
}
