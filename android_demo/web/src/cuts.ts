/** Scene cuts, found as the stream goes by: when a recurrent network starts anew. */

const THRESHOLD = 10;
const THUMBNAIL = 36;

/** A cut is a spike of the mean difference between thumbnails, as in edgevsr's own detector. */
export class CutDetector {
  private before: Float32Array | null = null;
  private difference: number | null = null;

  /** Whether this luma starts a scene; the first frame does not. */
  isCut(luma: Uint8Array, width: number): boolean {
    const small = thumbnail(luma, width);
    const before = this.before;
    this.before = small;
    if (before?.length !== small.length) {
      this.difference = null;
      return false;
    }
    let sum = 0;
    for (let i = 0; i < small.length; i++) sum += Math.abs(small[i]! - before[i]!);
    const difference = sum / small.length;
    const found = this.difference !== null && difference - this.difference > THRESHOLD;
    this.difference = found ? null : difference;
    return found;
  }

  reset(): void {
    this.before = this.difference = null;
  }
}

function thumbnail(luma: Uint8Array, width: number): Float32Array {
  const height = luma.length / width;
  const side = Math.max(1, Math.floor(Math.min(width, height) / THUMBNAIL));
  const columns = Math.floor(width / side);
  const rows = Math.floor(height / side);
  const means = new Float32Array(rows * columns);
  for (let y = 0; y < rows * side; y++) {
    const row = Math.floor(y / side) * columns;
    for (let x = 0; x < columns * side; x++)
      means[row + Math.floor(x / side)]! += luma[y * width + x]! / (side * side);
  }
  return means;
}
