/** The video that is watched: a file, the camera or the sample, frame by frame. */

import { PlainError } from "./errors.js";
import type { FrameImage } from "./protocol.js";

export interface Tick {
  /** Whether the frame does not follow the one before: after a seek, a loop, a new source. */
  readonly jumped: boolean;
  /** Frames that the browser has shown of this source. */
  readonly presented: number;
}

export class Player {
  readonly video = document.createElement("video");
  onframe: (tick: Tick) => void = () => {};
  onchange: () => void = () => {};
  onerror: (message: string) => void = () => {};
  live = false;

  private url: string | null = null;
  private jumped = true;
  private stepping = false;
  private lastSeconds = -1;
  private presented = 0;
  private frameSeconds = 1 / 30;

  constructor() {
    const { video } = this;
    video.muted = true;
    video.playsInline = true;
    video.loop = true;
    for (const event of ["play", "pause", "durationchange", "timeupdate", "loadeddata"])
      video.addEventListener(event, () => this.onchange());
    video.addEventListener("seeking", () => {
      if (!this.stepping) this.jumped = true;
    });
    video.addEventListener("seeked", () => {
      this.stepping = false;
      if (video.paused) this.tick();
    });
    video.addEventListener("loadeddata", () => {
      if (video.paused) this.tick();
    });
    video.addEventListener("error", () => this.onerror(this.why()));
    this.listen();
  }

  /** Play a file, from the disk or fetched. */
  async open(file: Blob): Promise<void> {
    this.release();
    this.url = URL.createObjectURL(file);
    this.video.src = this.url;
    await this.start();
  }

  /** Play the camera, the one on the phone's back where there are two. */
  async openCamera(): Promise<void> {
    if (!navigator.mediaDevices?.getUserMedia)
      throw new PlainError(
        "The camera needs a secure address: open this page as http://localhost:PORT.",
      );
    let stream: MediaStream;
    try {
      const video = { facingMode: "environment", width: { ideal: 640 }, height: { ideal: 360 } };
      stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
    } catch (error) {
      throw new PlainError(cameraError(error));
    }
    this.release();
    this.live = true;
    this.video.srcObject = stream;
    await this.start();
  }

  /** Return the frame that is on screen, to be given away. */
  async grab(): Promise<FrameImage | null> {
    const { video } = this;
    if (video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return null;
    if ("VideoFrame" in globalThis) {
      try {
        return new VideoFrame(video, { timestamp: Math.round(video.currentTime * 1e6) });
      } catch {
        // Some drivers refuse; a bitmap does the same with one more copy.
      }
    }
    return createImageBitmap(video);
  }

  toggle(): void {
    if (this.video.paused) void this.video.play().catch(() => {});
    else this.video.pause();
  }

  /** Go one frame on, or back. */
  step(direction: 1 | -1): void {
    this.video.pause();
    if (this.live) return;
    this.stepping = direction === 1;
    const seconds = this.video.currentTime + direction * this.frameSeconds;
    this.video.currentTime = Math.min(Math.max(seconds, 0), this.video.duration || 0);
  }

  private async start(): Promise<void> {
    this.jumped = true;
    this.presented = 0;
    this.lastSeconds = -1;
    // Where playing by itself is not allowed, the person presses play.
    await this.video.play().catch(() => {});
    this.onchange();
  }

  private release(): void {
    const { video } = this;
    if (video.srcObject instanceof MediaStream)
      for (const track of video.srcObject.getTracks()) track.stop();
    video.srcObject = null;
    video.removeAttribute("src");
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = null;
    this.live = false;
  }

  private listen(): void {
    const { video } = this;
    if ("requestVideoFrameCallback" in video) {
      const heard = (_: number, about: VideoFrameCallbackMetadata) => {
        this.follow(about.mediaTime, about.presentedFrames);
        video.requestVideoFrameCallback(heard);
      };
      video.requestVideoFrameCallback(heard);
      return;
    }
    const look = () => {
      const playing = this.video as HTMLVideoElement;
      if (playing.currentTime !== this.lastSeconds && !playing.paused)
        this.follow(playing.currentTime, this.presented + 1);
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  }

  private follow(seconds: number, presented: number): void {
    const gone = seconds - this.lastSeconds;
    // While paused a seek has said so already, perhaps before this frame is heard of.
    if (!this.live && !this.video.paused && gone < 0) this.jumped = true;
    if (gone > 0.004 && gone < this.frameSeconds * 1.5) this.frameSeconds = gone;
    this.lastSeconds = seconds;
    this.presented = presented;
    if (!this.video.paused) this.tick();
  }

  private tick(): void {
    const { jumped, presented } = this;
    this.jumped = false;
    this.onframe({ jumped, presented });
  }

  private why(): string {
    const code = this.video.error?.code;
    if (code === MediaError.MEDIA_ERR_SRC_NOT_SUPPORTED || code === MediaError.MEDIA_ERR_DECODE)
      return "This browser cannot decode the video: its codec is not supported. H.264 in .mp4 and VP9 or AV1 in .webm play almost everywhere.";
    return "The video could not be read.";
  }
}

function cameraError(error: unknown): string {
  const name = error instanceof DOMException ? error.name : "";
  if (name === "NotAllowedError")
    return "The camera was not allowed. Allow it in the browser's settings for this page.";
  if (name === "NotFoundError") return "There is no camera on this device.";
  if (name === "NotReadableError") return "Another application is using the camera.";
  return "The camera could not be opened.";
}
