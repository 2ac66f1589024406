/** The worker: holds one network, answers one request after another. */

import type { Card, Pixels } from "./card.js";
import { CutDetector } from "./cuts.js";
import type { Opener } from "./engine.js";
import { PlainError, plain } from "./errors.js";
import { Net } from "./net.js";
import { lumaOf, psnrDb, resizePlane } from "./pixels.js";
import type { Reply, Request, Scores } from "./protocol.js";

const scope = self as unknown as {
  onmessage: (event: MessageEvent<Request>) => void;
  postMessage(message: Reply, transfer?: Transferable[]): void;
};

type Task = Exclude<Request, { kind: "open" | "warm" }>;

/** Answer the page's requests in their order, with networks that this opener opens. */
export function serve({ open, warm }: Opener): void {
  let desk: Desk | null = null;
  let queue = Promise.resolve();
  const answer = async (request: Request): Promise<void> => {
    try {
      if (request.kind === "warm") {
        await warm(request).catch(() => {}); // opening tries again
      } else if (request.kind === "open") {
        await warm(request);
        const started = performance.now();
        const engine = await open(request);
        desk = new Desk(request.card, new Net(request.card, engine));
        const { runtime, version, threads } = engine;
        const initMs = performance.now() - started;
        scope.postMessage({ kind: "opened", initMs, runtime, version, threads });
      } else if (desk === null) {
        throw new PlainError("No network is open.");
      } else {
        const reply = await desk.answer(request);
        scope.postMessage(reply, transferables(reply));
      }
    } catch (error) {
      const id = "id" in request ? request.id : null;
      scope.postMessage({ kind: "failed", id, message: plain(error) });
    }
  };
  scope.onmessage = ({ data }) => {
    queue = queue.then(() => answer(data));
  };
}

function transferables(reply: Reply): Transferable[] {
  return reply.kind === "frame" || reply.kind === "pixels" ? [reply.sr.buffer] : [];
}

class Desk {
  private readonly cuts = new CutDetector();
  private last: Pixels | null = null;

  constructor(
    private readonly card: Card,
    private readonly net: Net,
  ) {}

  answer(request: Task): Promise<Reply> {
    if (request.kind === "frame") return this.frame(request);
    return request.kind === "pixels" ? this.pixels(request) : this.time(request);
  }

  private async frame({ id, read, reset }: Request & { kind: "frame" }): Promise<Reply> {
    const { card, net } = this;
    const cut = card.recurrent && this.cuts.isCut(read.luma, card.width);
    if (reset) this.cuts.reset();
    if (reset || cut) net.reset();
    this.last = read.rgb ?? read.luma;
    const started = performance.now();
    const out = await net.run(this.last);
    const netMs = performance.now() - started;
    const sr = card.colour === "rgb" ? withAlpha(out) : out;
    const scores = read.truth ? this.score(read.truth, read.luma, sr) : null;
    return { kind: "frame", id, sr, netMs, scores, cut };
  }

  private async pixels(request: Request & { kind: "pixels" }): Promise<Reply> {
    if (request.reset) this.net.reset();
    this.last = request.pixels;
    return { kind: "pixels", id: request.id, sr: await this.net.run(request.pixels) };
  }

  /** Time the network alone, on the last frame, for some seconds. */
  private async time(request: Request & { kind: "time" }): Promise<Reply> {
    const channels = this.card.colour === "rgb" ? 3 : 1;
    const pixels =
      this.last ?? new Uint8Array(this.card.width * this.card.height * channels).fill(128);
    // A picture that slides by a pixel, to and fro, so that there is motion to find.
    const frames = [pixels, pixels.slice().copyWithin(channels, 0)];
    const ms: number[] = [];
    const end = performance.now() + request.seconds * 1000;
    do {
      const started = performance.now();
      await this.net.run(frames[ms.length % 2]!);
      ms.push(performance.now() - started);
    } while (performance.now() < end || ms.length < 3);
    this.net.reset();
    return { kind: "times", id: request.id, ms };
  }

  private score(truth: Pixels, lrLuma: Pixels, sr: Pixels): Scores {
    const { card } = this;
    const hr = { width: card.width * card.scale, height: card.height * card.scale };
    const luma = card.colour === "rgb" ? lumaOf(new Uint8ClampedArray(sr.buffer)) : sr;
    const bicubic = resizePlane(lrLuma, card, hr);
    return {
      srDb: psnrDb(luma, truth, hr.width, card.scale),
      bicubicDb: psnrDb(bicubic, truth, hr.width, card.scale),
    };
  }
}

function withAlpha(rgb: Pixels): Pixels {
  const rgba = new Uint8Array((rgb.length / 3) * 4).fill(255);
  for (let i = 0, p = 0; i < rgb.length; i += 3, p += 4) {
    rgba[p] = rgb[i]!;
    rgba[p + 1] = rgb[i + 1]!;
    rgba[p + 2] = rgb[i + 2]!;
  }
  return rgba;
}
