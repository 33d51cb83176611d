/** Numbers in rows, a column each: a history of millions of records in arrays that hold nothing else. */
import { assert } from '@fleetmq/shared';

type Cells = Float64Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;

/** Grows by doubling. */
export class Column<Kind extends Cells = Cells> {
  readonly #create: new (
    length: number,
  ) => Kind;
  #cells: Kind;
  #length = 0;

  constructor(create: new (length: number) => Kind) {
    this.#create = create;
    this.#cells = new create(1024);
  }

  get length(): number {
    return this.#length;
  }

  /** At which row it stands. */
  push(value: number): number {
    if (this.#length === this.#cells.length) {
      const larger = new this.#create(this.#length * 2);
      larger.set(this.#cells);
      this.#cells = larger;
    }
    this.#cells[this.#length] = value;
    return this.#length++;
  }

  at(row: number): number {
    assert(row >= 0 && row < this.#length, 'a row that does not exist');
    return this.#cells[row] as number;
  }

  set(row: number, value: number): void {
    assert(row >= 0 && row < this.#length, 'a row that does not exist');
    this.#cells[row] = value;
  }
}

export const floats = (): Column<Float64Array<ArrayBuffer>> => new Column(Float64Array);
export const integers = (): Column<Uint32Array<ArrayBuffer>> => new Column(Uint32Array);
export const bytes = (): Column<Uint8Array<ArrayBuffer>> => new Column(Uint8Array);

/** No row: of columns of integers. */
export const none = 0xffff_ffff;
