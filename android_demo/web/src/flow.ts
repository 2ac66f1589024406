/**
 * Dense optical flow between two 8-bit planes.
 *
 * Source: T. Kroeger et al., "Fast optical flow using dense inverse search", ECCV 2016; neighbours'
 * motion is tried too, as in OpenCV's. There is no variational refinement.
 */

const PATCH = 8;
const AREA = PATCH * PATCH;
const STRIDE = 4;
/** Between patches of planes that are searched as they are: four times as many pixels. */
const FINE_STRIDE = 6;
/** Gradient steps of a patch at most, in each of the two passes over a level. */
const STEPS = 6;
/** Levels whose shorter side would be less than this are left out. */
const COARSEST = 2 * PATCH;
/** Lower or narrower planes are grown to this by their edges: half of it is one patch. */
const LEAST = 2 * PATCH;
/** Added to the eigenvalues of a patch's Hessian: without texture nothing moves. */
const DAMPING = 1;
/** Patches are looked for this far beyond the edge, and bilinear samples take one pixel more. */
const PAD = PATCH + 1;

interface Plane {
  readonly values: Uint8Array | Float32Array;
  readonly width: number;
  readonly height: number;
  /** Values from row to row. */
  readonly pitch: number;
  /** Where the first pixel lies. */
  readonly origin: number;
}

function planeOf(values: Uint8Array | Float32Array, width: number, height: number): Plane {
  return { values, width, height, pitch: width, origin: 0 };
}

/** A level of the pyramid, and the motion that is found in it. */
class Level {
  readonly frame: Float32Array;
  readonly gradientX: Float32Array;
  readonly gradientY: Float32Array;
  /** The plane before, its edges repeated `PAD` times. */
  readonly before: Float32Array;
  readonly pitch: number;
  /** Where patches begin. */
  readonly columns: Int32Array;
  readonly rows: Int32Array;
  readonly patchU: Float32Array;
  readonly patchV: Float32Array;
  readonly u: Float32Array;
  readonly v: Float32Array;
  readonly weights: Float32Array;

  constructor(
    readonly width: number,
    readonly height: number,
    stride = STRIDE,
  ) {
    const plane = () => new Float32Array(width * height);
    [this.frame, this.gradientX, this.gradientY] = [plane(), plane(), plane()];
    [this.u, this.v, this.weights] = [plane(), plane(), plane()];
    this.pitch = width + 2 * PAD;
    this.before = new Float32Array(this.pitch * (height + 2 * PAD));
    this.columns = beginnings(width, stride);
    this.rows = beginnings(height, stride);
    this.patchU = new Float32Array(this.columns.length * this.rows.length);
    this.patchV = new Float32Array(this.patchU.length);
  }

  get framePlane(): Plane {
    return planeOf(this.frame, this.width, this.height);
  }

  get beforePlane(): Plane {
    const { before: values, width, height, pitch } = this;
    return { values, width, height, pitch, origin: PAD * pitch + PAD };
  }
}

/** Return where patches begin along a side; the last one ends with it. */
function beginnings(side: number, stride: number): Int32Array {
  const count = Math.ceil((side - PATCH) / stride) + 1;
  return Int32Array.from({ length: count }, (_, i) => Math.min(i * stride, side - PATCH));
}

/** Finds the motion between planes of one size; it keeps its memory from plane to plane. */
export class Flow {
  /** How far away each pixel was, in pixels. */
  readonly u: Float32Array;
  readonly v: Float32Array;
  /** From fine to coarse, each half as large as the one before. */
  private readonly levels: Level[] = [];
  private readonly row: Float32Array;

  /** The search goes on to half the planes' resolution; where it is `fine`, to their own. */
  constructor(
    private readonly width: number,
    private readonly height: number,
    private readonly fine = false,
  ) {
    this.u = new Float32Array(width * height);
    this.v = new Float32Array(width * height);
    this.row = new Float32Array(width);
    if (fine) {
      const [wide, tall] = [Math.max(width, LEAST), Math.max(height, LEAST)];
      this.levels.push(new Level(wide, tall, FINE_STRIDE));
    }
    let wide = Math.max(width, LEAST) >> 1;
    let tall = Math.max(height, LEAST) >> 1;
    do {
      this.levels.push(new Level(wide, tall));
      wide >>= 1;
      tall >>= 1;
    } while (Math.min(wide, tall) >= COARSEST);
  }

  /** Leave in `u` and `v` where each pixel of `frame` was in the plane `before` it. */
  find(frame: Uint8Array, before: Uint8Array): void {
    const { width, height, levels, fine } = this;
    let [now, then] = [planeOf(frame, width, height), planeOf(before, width, height)];
    for (const level of levels) {
      const shrink = fine && level === levels[0] ? smooth : halve;
      shrink(now, level.framePlane, this.row);
      shrink(then, level.beforePlane, this.row);
      repeatEdges(level);
      takeGradients(level);
      [now, then] = [level.framePlane, level.beforePlane];
    }
    for (let index = levels.length - 1; index >= 0; index--) {
      const level = levels[index]!;
      begin(level, levels[index + 1]);
      search(level, 1);
      search(level, -1);
      densify(level);
    }
    const bring = fine ? crop : enlarge;
    bring(levels[0]!, levels[0]!.u, this.u, width, height);
    bring(levels[0]!, levels[0]!.v, this.v, width, height);
  }
}

/**
 * Halve a plane by the binomial filter 1 3 3 1; beyond its sides it goes on as at its edges.
 *
 * Softer than the mean of 2×2: bilinear samples of what is left are hardly softer than it, so that
 * no patch matches best where it happens to need no interpolation.
 */
function halve(from: Plane, to: Plane, row: Float32Array): void {
  const { values } = from;
  const [right, bottom] = [from.width - 1, from.height - 1];
  for (let y = 0; y < to.height; y++) {
    const above = from.origin + Math.min(Math.max(2 * y - 1, 0), bottom) * from.pitch;
    const upper = from.origin + Math.min(2 * y, bottom) * from.pitch;
    const lower = from.origin + Math.min(2 * y + 1, bottom) * from.pitch;
    const below = from.origin + Math.min(2 * y + 2, bottom) * from.pitch;
    for (let x = 0; x <= right; x++) {
      const middle = values[upper + x]! + values[lower + x]!;
      row[x] = (values[above + x]! + 3 * middle + values[below + x]!) / 64;
    }
    const at = to.origin + y * to.pitch;
    for (let x = 0; x < to.width; x++) {
      const middle = row[Math.min(2 * x, right)]! + row[Math.min(2 * x + 1, right)]!;
      const outer = row[Math.min(Math.max(2 * x - 1, 0), right)]! + row[Math.min(2 * x + 2, right)]!;
      to.values[at + x] = outer + 3 * middle;
    }
  }
}

/** Smooth a plane by 1 2 1: what is finer in LR frames is aliased, and moves otherwise. */
function smooth(from: Plane, to: Plane, row: Float32Array): void {
  const { values } = from;
  const [right, bottom] = [from.width - 1, from.height - 1];
  for (let y = 0; y < to.height; y++) {
    const middle = from.origin + Math.min(y, bottom) * from.pitch;
    const above = from.origin + Math.min(Math.max(y - 1, 0), bottom) * from.pitch;
    const below = from.origin + Math.min(y + 1, bottom) * from.pitch;
    for (let x = 0; x <= right; x++) {
      row[x] = (values[above + x]! + 2 * values[middle + x]! + values[below + x]!) / 16;
    }
    const at = to.origin + y * to.pitch;
    for (let x = 0; x < to.width; x++) {
      const [before, behind] = [Math.min(Math.max(x - 1, 0), right), Math.min(x + 1, right)];
      to.values[at + x] = row[before]! + 2 * row[Math.min(x, right)]! + row[behind]!;
    }
  }
}

function repeatEdges({ before, width, height, pitch }: Level): void {
  const [right, bottom] = [PAD + width, PAD + height];
  for (let row = PAD * pitch; row < bottom * pitch; row += pitch) {
    before.fill(before[row + PAD]!, row, row + PAD);
    before.fill(before[row + right - 1]!, row + right, row + pitch);
  }
  for (let y = 0; y < PAD; y++) {
    before.copyWithin(y * pitch, PAD * pitch, (PAD + 1) * pitch);
    before.copyWithin((bottom + y) * pitch, (bottom - 1) * pitch, bottom * pitch);
  }
}

function takeGradients({ frame, gradientX, gradientY, width, height }: Level): void {
  for (let y = 0, at = 0; y < height; y++) {
    const above = y > 0 ? width : 0;
    const below = y < height - 1 ? width : 0;
    for (let x = 0; x < width; x++, at++) {
      const left = x > 0 ? 1 : 0;
      const right = x < width - 1 ? 1 : 0;
      gradientX[at] = (frame[at + right]! - frame[at - left]!) / 2;
      gradientY[at] = (frame[at + below]! - frame[at - above]!) / 2;
    }
  }
}

/** Begin each patch with what the coarser level found at its centre. */
function begin({ columns, rows, patchU, patchV }: Level, coarser: Level | undefined): void {
  if (!coarser) {
    patchU.fill(0);
    patchV.fill(0);
    return;
  }
  const { u, v, width, height } = coarser;
  for (let j = 0, patch = 0; j < rows.length; j++) {
    const y = Math.min((rows[j]! + PATCH / 2) >> 1, height - 1);
    for (let i = 0; i < columns.length; i++, patch++) {
      const at = y * width + Math.min((columns[i]! + PATCH / 2) >> 1, width - 1);
      patchU[patch] = 2 * u[at]!;
      patchV[patch] = 2 * v[at]!;
    }
  }
}

/** The patch in hand: where it begins, and the sums of its gradients. */
const patch = { column: 0, row: 0, x: 0, y: 0, xx: 0, xy: 0, yy: 0 };
/** The best motion of it so far, with its error and the sums of error times gradient there. */
const best = { u: 0, v: 0, error: 0, x: 0, y: 0 };

/** Take up the patch of these indices; gradients are summed as if their means were zero. */
function take({ gradientX, gradientY, width, columns, rows }: Level, i: number, j: number): void {
  const [column, row] = [columns[i]!, rows[j]!];
  let [sumX, sumY, xx, xy, yy] = [0, 0, 0, 0, 0];
  for (let r = 0, at = row * width + column; r < PATCH; r++, at += width) {
    for (let k = at; k < at + PATCH; k++) {
      const x = gradientX[k]!;
      const y = gradientY[k]!;
      sumX += x;
      sumY += y;
      xx += x * x;
      xy += x * y;
      yy += y * y;
    }
  }
  patch.column = column;
  patch.row = row;
  patch.x = sumX;
  patch.y = sumY;
  patch.xx = xx - (sumX * sumX) / AREA + DAMPING;
  patch.xy = xy - (sumX * sumY) / AREA;
  patch.yy = yy - (sumY * sumY) / AREA + DAMPING;
}

/** Adopt a motion of the patch in hand if its errors, their mean aside, are smaller; else false. */
function adopt(level: Level, u: number, v: number): boolean {
  const { frame, gradientX, gradientY, before, width, height, pitch } = level;
  const x = Math.min(Math.max(patch.column + u, -PATCH), width);
  const y = Math.min(Math.max(patch.row + v, -PATCH), height);
  const [left, top] = [Math.floor(x), Math.floor(y)];
  const [right, down] = [x - left, y - top];
  const lowerRight = right * down;
  const lowerLeft = down - lowerRight;
  const upperRight = right - lowerRight;
  const upperLeft = 1 - right - lowerLeft;
  let there = (top + PAD) * pitch + left + PAD;
  let here = patch.row * width + patch.column;
  let [sum, squares, sumX, sumY] = [0, 0, 0, 0];
  for (let r = 0; r < PATCH; r++, there += pitch, here += width) {
    for (let i = 0; i < PATCH; i++) {
      const sample =
        upperLeft * before[there + i]! +
        upperRight * before[there + i + 1]! +
        lowerLeft * before[there + pitch + i]! +
        lowerRight * before[there + pitch + i + 1]!;
      const error = sample - frame[here + i]!;
      sum += error;
      squares += error * error;
      sumX += error * gradientX[here + i]!;
      sumY += error * gradientY[here + i]!;
    }
  }
  const error = squares - (sum * sum) / AREA;
  if (error >= best.error) return false;
  best.u = u;
  best.v = v;
  best.error = error;
  best.x = sumX - (sum * patch.x) / AREA;
  best.y = sumY - (sum * patch.y) / AREA;
  return true;
}

/** Search all patches, each from the best of its own and two neighbours' motion. */
function search(level: Level, direction: 1 | -1): void {
  const { patchU, patchV } = level;
  const across = level.columns.length;
  const last = patchU.length - 1;
  for (let n = 0; n <= last; n++) {
    const index = direction === 1 ? n : last - n;
    const i = index % across;
    take(level, i, (index - i) / across);
    best.error = Infinity;
    adopt(level, patchU[index]!, patchV[index]!);
    const beside = index - direction;
    const beyond = index - direction * across;
    if (i !== (direction === 1 ? 0 : across - 1)) adopt(level, patchU[beside]!, patchV[beside]!);
    if (beyond >= 0 && beyond <= last) adopt(level, patchU[beyond]!, patchV[beyond]!);
    descend(level);
    patchU[index] = best.u;
    patchV[index] = best.v;
  }
}

/** Improve the motion of the patch in hand, step by step down the slope of its error. */
function descend(level: Level): void {
  const { u, v } = best;
  const { xx, xy, yy } = patch;
  const determinant = xx * yy - xy * xy;
  for (let step = 0; step < STEPS; step++) {
    const nextU = best.u - (yy * best.x - xy * best.y) / determinant;
    const nextV = best.v - (xx * best.y - xy * best.x) / determinant;
    const strays = (nextU - u) ** 2 + (nextV - v) ** 2 > AREA;
    if (strays || !adopt(level, nextU, nextV)) return;
  }
}

/** Average over each pixel the motion of its patches, the more the better they match there. */
function densify(level: Level): void {
  const { frame, before, width, height, pitch, columns, rows, patchU, patchV } = level;
  const { u, v, weights } = level;
  for (const sums of [u, v, weights]) sums.fill(0);
  for (let j = 0, index = 0; j < rows.length; j++) {
    for (let i = 0; i < columns.length; i++, index++) {
      const [patchX, patchY] = [patchU[index]!, patchV[index]!];
      const x = Math.min(Math.max(columns[i]! + patchX, -PATCH), width);
      const y = Math.min(Math.max(rows[j]! + patchY, -PATCH), height);
      const [left, top] = [Math.floor(x), Math.floor(y)];
      const [right, down] = [x - left, y - top];
      let there = (top + PAD) * pitch + left + PAD;
      let here = rows[j]! * width + columns[i]!;
      for (let r = 0; r < PATCH; r++, there += pitch - PATCH, here += width - PATCH) {
        for (let c = 0; c < PATCH; c++, there++, here++) {
          const upper = before[there]! + right * (before[there + 1]! - before[there]!);
          const next = there + pitch;
          const lower = before[next]! + right * (before[next + 1]! - before[next]!);
          const error = Math.abs(upper + down * (lower - upper) - frame[here]!);
          const weight = 1 / Math.max(error, 1);
          u[here]! += weight * patchX;
          v[here]! += weight * patchY;
          weights[here]! += weight;
        }
      }
    }
  }
  for (let i = 0; i < weights.length; i++) {
    u[i]! /= weights[i]!;
    v[i]! /= weights[i]!;
  }
}

/** Bring one component of a level's motion to planes twice as large, bilinearly. */
function enlarge(
  { width: wide, height: tall }: Level,
  from: Float32Array,
  to: Float32Array,
  width: number,
  height: number,
): void {
  for (let y = 0, at = 0; y < height; y++) {
    const near = Math.min(y >> 1, tall - 1) * wide;
    const far = Math.min(Math.max((y >> 1) + (y % 2 ? 1 : -1), 0), tall - 1) * wide;
    for (let x = 0; x < width; x++, at++) {
      const beside = Math.min(x >> 1, wide - 1);
      const beyond = Math.min(Math.max((x >> 1) + (x % 2 ? 1 : -1), 0), wide - 1);
      const nearest = 3 * from[near + beside]! + from[near + beyond]!;
      to[at] = (3 * nearest + 3 * from[far + beside]! + from[far + beyond]!) / 8;
    }
  }
}

/** Bring one component of a level's motion to planes of its size, or smaller where it was grown. */
function crop(
  { width: wide }: Level,
  from: Float32Array,
  to: Float32Array,
  width: number,
  height: number,
): void {
  for (let y = 0; y < height; y++) {
    to.set(from.subarray(y * wide, y * wide + width), y * width);
  }
}
