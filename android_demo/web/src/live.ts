/** The loop: frames of the player go to the network, what comes back is drawn and counted. */

import { plain } from "./errors.js";
import { Meter } from "./meter.js";
import type { Painter } from "./painter.js";
import type { Player, Tick } from "./player.js";
import type { Scores } from "./protocol.js";
import type { FrameReply, Session } from "./session.js";
import type { View } from "./view.js";

/** One frame is in the network, the next waits in the worker, so that it never idles. */
const IN_FLIGHT = 2;

export class Live {
  readonly meter = new Meter();
  session: Session | null = null;
  simulate = false;
  dropped = 0;
  shown = 0;
  firstMs: number | null = null;
  from = "";
  scores: Scores | null = null;
  /** The frame on screen, and whether the network began anew with it. */
  last: { readonly reply: FrameReply; readonly anew: boolean } | null = null;
  onshown: () => void = () => {};
  onfailed: (message: string) => void = () => {};

  private inFlight = 0;
  private jumped = true;
  private presented = 0;
  private missed = false;
  private painting = false;

  constructor(
    private readonly player: Player,
    private readonly painter: Painter,
    private readonly view: View,
  ) {
    player.onframe = (tick) => void this.take(tick);
  }

  /** Go on with another network, or none; the figures start anew. */
  use(session: Session | null): void {
    this.session?.close();
    this.session = session;
    this.inFlight = 0;
    this.jumped = true;
    this.clear();
    if (session) void this.redo();
  }

  /** Forget the figures. */
  clear(): void {
    this.meter.clear();
    this.dropped = this.shown = this.presented = 0;
    this.firstMs = this.scores = this.last = null;
  }

  /** Run the frame on screen again, as a first one. */
  async redo(): Promise<void> {
    await this.take({ jumped: true, presented: this.presented });
  }

  /** Draw the last frame again, once the browser is ready to. */
  repaint(): void {
    if (this.painting) return;
    this.painting = true;
    requestAnimationFrame(() => {
      this.painting = false;
      this.painter.paint(this.view);
    });
  }

  /** Return once no frame is under way. */
  async idle(): Promise<void> {
    do await new Promise((resolve) => setTimeout(resolve, 50));
    while (this.inFlight > 0);
  }

  private async take(tick: Tick): Promise<void> {
    const { session } = this;
    const behind = tick.presented - this.presented - 1;
    if (this.presented > 0 && behind > 0) this.dropped += behind;
    this.presented = tick.presented;
    this.jumped ||= tick.jumped;
    if (!session) return;
    if (this.inFlight >= IN_FLIGHT) {
      this.missed = true;
      if (!this.player.video.paused) this.dropped++;
      return;
    }
    this.inFlight++;
    const reset = this.jumped;
    this.jumped = false;
    try {
      const image = await this.player.grab();
      if (image === null || session !== this.session) return image?.close();
      const reply = await session.frame(image, reset, this.simulate);
      if (session !== this.session) return;
      this.last = { reply, anew: reset || reply.cut };
      this.show(reply);
    } catch (error) {
      if (session === this.session) this.onfailed(plain(error));
    } finally {
      if (session === this.session) this.settle();
    }
  }

  private settle(): void {
    this.inFlight--;
    // The frame on which the video was paused must not be the one that was left out.
    if (!this.missed || !this.player.video.paused) return;
    this.missed = false;
    void this.take({ jumped: false, presented: this.presented });
  }

  private show(reply: FrameReply): void {
    const { card } = this.session!;
    const { width, height, scale } = card;
    const started = performance.now();
    this.painter.put({ lr: reply.lr, sr: reply.sr, width, height, scale });
    this.painter.paint(this.view);
    const now = performance.now();
    const { uploadMs: upload, netMs: net } = reply;
    if (this.shown++ === 0) this.firstMs = net;
    else this.meter.add(now, { upload, net, draw: now - started });
    // Frames that come in after a pause would stretch the rate over it.
    if (this.player.video.paused) this.meter.pause();
    this.scores = reply.scores;
    this.from = reply.from;
    this.onshown();
  }
}
