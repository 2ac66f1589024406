/** What the last frames took. */

export class Meter {
  private readonly times: number[] = [];
  private readonly columns = new Map<string, number[]>();

  constructor(private readonly most = 60) {}

  /** Count a frame shown at `now`, with the milliseconds of its stages. */
  add(now: number, stages: Readonly<Record<string, number>>): void {
    push(this.times, now, this.most);
    for (const [name, ms] of Object.entries(stages)) {
      let column = this.columns.get(name);
      if (!column) this.columns.set(name, (column = []));
      push(column, ms, this.most);
    }
  }

  get counted(): number {
    return this.times.length;
  }

  /** Return frames a second over the frames kept; 0 until there are two. */
  fps(): number {
    const [first, last] = [this.times[0], this.times.at(-1)];
    if (first === undefined || last === undefined || last <= first) return 0;
    return ((this.times.length - 1) * 1000) / (last - first);
  }

  median(name: string): number | null {
    const column = this.columns.get(name);
    return column ? quantile(column, 0.5) : null;
  }

  /** Return the kept milliseconds of a stage. */
  values(name: string): readonly number[] {
    return this.columns.get(name) ?? [];
  }

  clear(): void {
    this.times.length = 0;
    this.columns.clear();
  }

  /** Forget when frames were shown, as after a pause, and keep what they took. */
  pause(): void {
    this.times.length = 0;
  }
}

/** Return a quantile of some numbers, between the two nearest; null where there are none. */
export function quantile(values: readonly number[], share: number): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const low = sorted[Math.floor(at)]!;
  return low + (sorted[Math.ceil(at)]! - low) * (at % 1);
}

function push(values: number[], value: number, most: number): void {
  values.push(value);
  if (values.length > most) values.shift();
}
