/** The page's end of the workers: one network open in one way, and the reader of its frames. */

import type { Card, Pixels } from "./card.js";
import { PlainError } from "./errors.js";
import type { FrameImage, ReadReply, ReadRequest, Reply, Request, Way } from "./protocol.js";

type NetReply = Reply & { kind: "frame" };
export type FrameReply = NetReply & Pick<ReadReply, "lr" | "uploadMs" | "from">;
type Opened = Reply & { kind: "opened" };

const WORKERS: Readonly<Record<Way, string>> = {
  "ort-wasm": "worker_ort_wasm.js",
  "ort-webgpu": "worker_ort_webgpu.js",
  "litert-wasm": "worker_litert.js",
  "litert-webgpu": "worker_litert.js",
};

/** A worker whose runtime is starting already; a page needs it once. */
let spare: { readonly way: Way; readonly threads: number; readonly worker: Worker } | null = null;

/** Start a runtime before it is known which network it gets. */
export function warm(way: Way, threads: number): void {
  spare = { way, threads, worker: makeWorker(way) };
  const request: Request = { kind: "warm", way, threads, runtime: runtimeUrl() };
  spare.worker.postMessage(request);
}

function takeWorker(way: Way, threads: number): Worker {
  const found = spare;
  spare = null;
  if (found?.way === way && found.threads === threads) return found.worker;
  found?.worker.terminate();
  return makeWorker(way);
}

function makeWorker(way: Way): Worker {
  return new Worker(WORKERS[way], { type: way.startsWith("litert") ? "classic" : "module" });
}

function runtimeUrl(): string {
  return new URL("runtime/", location.href).href;
}

export class Session {
  private readonly waiting = new Map<number, PromiseWithResolvers<Reply>>();
  private readonly reading = new Map<number, PromiseWithResolvers<ReadReply>>();
  private readonly reader = new Worker("worker_reader.js");
  private next = 0;

  private constructor(
    readonly card: Card,
    readonly way: Way,
    readonly opened: Opened,
    private readonly worker: Worker,
  ) {
    worker.onmessage = ({ data }: MessageEvent<Reply>) => this.receive(data);
    worker.onerror = () => this.close("The network's worker stopped.");
    this.reader.onmessage = ({ data }: MessageEvent<ReadReply>) => {
      const promise = this.reading.get(data.id);
      this.reading.delete(data.id);
      if (data.message === null) promise?.resolve(data);
      else promise?.reject(new PlainError(data.message));
    };
    this.reader.onerror = () => this.close("The worker that reads frames stopped.");
  }

  /** Open a network; it has workers of its own, which go with it. */
  static async open(card: Card, file: ArrayBuffer, way: Way, threads: number): Promise<Session> {
    const worker = takeWorker(way, threads);
    const runtime = runtimeUrl();
    try {
      const opened = await new Promise<Opened>((resolve, reject) => {
        worker.onmessage = ({ data }: MessageEvent<Reply>) => {
          if (data.kind === "opened") resolve(data);
          else if (data.kind === "failed") reject(new PlainError(data.message));
        };
        worker.onerror = (event) => {
          event.preventDefault();
          reject(new PlainError("The runtime could not be started in this browser."));
        };
        const request: Request = { kind: "open", card, file, way, threads, runtime };
        worker.postMessage(request);
      });
      return new Session(card, way, opened, worker);
    } catch (error) {
      worker.terminate();
      throw error;
    }
  }

  /** Super-resolve an image, which is used up. */
  async frame(image: FrameImage, reset: boolean, simulate: boolean): Promise<FrameReply> {
    const id = this.next++;
    const reading = Promise.withResolvers<ReadReply>();
    this.reading.set(id, reading);
    const request: ReadRequest = { id, image, card: this.card, simulate };
    this.reader.postMessage(request, [image]);
    const { read, lr, uploadMs, from } = await reading.promise;
    const reply = await this.ask({ kind: "frame", id, read: read!, reset }, [read!.luma.buffer]);
    return { ...(reply as NetReply), lr, uploadMs, from };
  }

  /** Super-resolve pixels as they are. */
  async pixels(pixels: Pixels, reset: boolean): Promise<Pixels> {
    const id = this.next++;
    const reply = await this.ask({ kind: "pixels", id, pixels, reset }, []);
    return (reply as Reply & { kind: "pixels" }).sr;
  }

  /** Return the milliseconds of the network alone, run after run. */
  async time(seconds: number): Promise<readonly number[]> {
    const id = this.next++;
    return ((await this.ask({ kind: "time", id, seconds }, [])) as Reply & { kind: "times" }).ms;
  }

  /** End the worker; what is under way fails with `reason`. */
  close(reason = "The network was closed."): void {
    this.worker.terminate();
    this.reader.terminate();
    for (const each of [this.waiting, this.reading]) {
      for (const { reject } of each.values()) reject(new PlainError(reason));
      each.clear();
    }
  }

  private ask(request: Exclude<Request, { kind: "open" | "warm" }>, move: Transferable[]): Promise<Reply> {
    const promise = Promise.withResolvers<Reply>();
    this.waiting.set(request.id, promise);
    this.worker.postMessage(request, move);
    return promise.promise;
  }

  private receive(reply: Reply): void {
    if (reply.kind === "opened" || reply.id === null) return;
    const promise = this.waiting.get(reply.id);
    this.waiting.delete(reply.id);
    if (reply.kind === "failed") promise?.reject(new PlainError(reply.message));
    else promise?.resolve(reply);
  }
}
