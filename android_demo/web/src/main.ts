/** The page: wires what is on screen to the player, the network and the loop. */

import { Catalogue, type Entry, netsAmong } from "./catalogue.js";
import { WAYS, WAY_NAMES, inspect, obstacle, processor, threadsFor } from "./choice.js";
import { control, setSplit } from "./controls.js";
import { PlainError, plain } from "./errors.js";
import { Live } from "./live.js";
import { type Opened, openNet } from "./opening.js";
import { makePainter } from "./painter.js";
import { byId, showCard, showDevice, showFigures, showOptions } from "./panels.js";
import { Player } from "./player.js";
import { makeProbe } from "./probe.js";
import type { Way } from "./protocol.js";
import { report } from "./report.js";
import { warm } from "./session.js";
import { View } from "./view.js";

const canvas = byId<HTMLCanvasElement>("canvas");
const screen_ = byId("screen");
const [netSelect, sizeSelect, waySelect, threadSelect] = ["net", "size", "way", "threads"].map(
  (id) => byId<HTMLSelectElement>(id),
) as [HTMLSelectElement, HTMLSelectElement, HTMLSelectElement, HTMLSelectElement];

// The runtime takes longest to start, and most networks run in this one.
warm("ort-wasm", threadsFor(processor()));
const catalogue = new Catalogue();
const listed = catalogue.fetch("nets/");
listed.catch(() => {}); // said when it is waited for
const machine = await inspect();
const painter = makePainter(canvas);
const view = new View();
const player = new Player();
const live = new Live(player, painter, view);
/** Names of videos, for files whose type the system does not know. */
const VIDEO = /\.(mp4|m4v|mov|webm|mkv|avi|3gp|ogv|ts)$/i;
const avoided = new Set<Way>();
let current: Opened | null = null;
let turn = 0;

function say(message: string | null): void {
  byId("message").hidden = message === null;
  byId("message-text").textContent = message ?? "";
}

function veil(text: string | null): void {
  byId("veil").hidden = text === null;
  byId("veil-text").textContent = text ?? "";
}

/** Do what a person asked for; what goes wrong is said on the page. */
function attempt(action: () => Promise<void> | void): void {
  Promise.resolve()
    .then(action)
    .catch((error: unknown) => say(plain(error)));
}

async function reopen(): Promise<void> {
  const mine = ++turn;
  const entries = catalogue.of(netSelect.value, sizeSelect.value);
  if (entries.length === 0) return;
  veil("Opening the network…");
  say(null);
  live.use(null);
  try {
    const wanted = waySelect.value as Way | "auto";
    const opened = await openNet(entries, wanted, machine, Number(threadSelect.value), avoided);
    if (mine !== turn) return opened.session.close();
    current = opened;
    const { session, reason, failures } = opened;
    const how = WAY_NAMES[session.way];
    byId("reason").textContent = `${how}: ${reason}.`;
    byId("headline").textContent = `${netSelect.value} · ${how}`;
    byId("right-tag").textContent = `SR ×${session.card.scale}`;
    if (failures.length) say(`${failures.join(" ")} Now running in ${how}.`);
    showCard(session.card, opened.sha256);
    live.use(session);
  } catch (error) {
    if (mine !== turn) return;
    current = null;
    veil(null);
    throw error;
  }
}

function offerSizes(): void {
  const sizes = catalogue.sizes(netSelect.value);
  const chosen = sizes.includes(sizeSelect.value) ? sizeSelect.value : (sizes[0] ?? "");
  showOptions(sizeSelect, sizes.map((size) => [size, size]), chosen);
  offerWays();
}

function offerWays(): void {
  const cards = catalogue.of(netSelect.value, sizeSelect.value).map(({ card }) => card);
  const ways = WAYS.map((way) => {
    const why = obstacle(way, cards, machine);
    return [way, why ? `${WAY_NAMES[way]}: ${why}` : WAY_NAMES[way], why !== null] as const;
  });
  const kept = ways.find(([way, , off]) => way === waySelect.value && !off)?.[0] ?? "auto";
  showOptions(waySelect, [["auto", "Automatic"], ...ways], kept);
}

function offerNets(chosen?: string): void {
  const names = catalogue.names();
  showOptions(netSelect, names.map((name) => [name, name]), chosen ?? names[0] ?? "");
  offerSizes();
}

async function addNets(entries: readonly Entry[]): Promise<void> {
  const names = entries.map((entry) => catalogue.add(entry));
  const first = entries[0]!.card;
  offerNets(names[0]);
  avoided.clear();
  sizeSelect.value = `${first.width}×${first.height}`;
  waySelect.value = "auto";
  offerWays();
  await reopen();
}

async function openFiles(files: readonly File[]): Promise<void> {
  say(null);
  const entries = await netsAmong(files);
  if (entries.length) return addNets(entries);
  const video = files.find(({ name, type }) => type.startsWith("video/") || VIDEO.test(name));
  if (files.length && !video)
    throw new PlainError(
      `${files[0]!.name} is neither a video nor a network (.onnx or .tflite with its .json card).`,
    );
  if (video) await useVideo("use-file", () => player.open(video));
}

async function useVideo(button: string, open: () => Promise<void>): Promise<void> {
  say(null);
  await open();
  for (const id of ["use-sample", "use-file", "use-camera"])
    byId(id).setAttribute("aria-pressed", String(id === button));
  live.clear();
}

async function useSample(): Promise<void> {
  // Fetched whole: browsers seek only in what the server gives in ranges, or in memory.
  const response = await fetch("sample.mp4");
  if (response.ok) await useVideo("use-sample", async () => player.open(await response.blob()));
}

function fitCanvas(): void {
  const { width, height } = screen_.getBoundingClientRect();
  canvas.width = Math.max(1, Math.round(width * devicePixelRatio));
  canvas.height = Math.max(1, Math.round(height * devicePixelRatio));
  live.repaint();
}

function showTransport(): void {
  const { video } = player;
  const timed = Number.isFinite(video.duration);
  const seek = byId<HTMLInputElement>("seek");
  byId("play").classList.toggle("paused", video.paused);
  byId("play").setAttribute("aria-label", video.paused ? "Play" : "Pause");
  seek.disabled = !timed;
  seek.max = String(timed ? video.duration : 1);
  seek.value = String(timed ? video.currentTime : 0);
  const seconds = Math.floor(video.currentTime);
  const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  byId("clock").textContent = player.live ? "live" : clock;
  byId("loop").setAttribute("aria-pressed", String(video.loop));
  if (video.paused) live.meter.pause();
}

function measured(): Record<string, unknown> | null {
  const session = live.session;
  if (!session || !current) return null;
  const netMs = live.meter.values("net");
  const { sha256 } = current;
  const { name } = painter;
  return report({ session, netMs, firstMs: live.firstMs, sha256, machine, painter: name });
}

async function copyReport(): Promise<void> {
  const text = JSON.stringify(measured(), null, 2);
  try {
    await navigator.clipboard.writeText(text);
    byId("copied").textContent = "Copied. Paste it into a .json file for: edgevsr report FILE.json";
  } catch {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = "edgevsr-demo.json";
    link.click();
    byId("copied").textContent = "Saved as edgevsr-demo.json: the clipboard is not allowed here.";
  }
}

function showView(): void {
  const zoom = view.zoom.toFixed(view.zoom < 10 ? 1 : 0).replace(".0", "");
  byId("fit").textContent = `${zoom}×`;
  live.repaint();
}

function wireTransport(): void {
  const { video } = player;
  byId("play").onclick = () => player.toggle();
  byId("back").onclick = () => player.step(-1);
  byId("forward").onclick = () => player.step(1);
  byId("loop").onclick = () => {
    video.loop = !video.loop;
    showTransport();
  };
  byId("seek").oninput = ({ target }) => {
    video.currentTime = Number((target as HTMLInputElement).value);
  };
  byId("fit").onclick = () => {
    view.reset();
    showView();
  };
  byId("full").onclick = () =>
    attempt(() => (document.fullscreenElement ? document.exitFullscreen() : screen_.requestFullscreen()));
  const keys: Record<string, () => void> = {
    " ": () => player.toggle(),
    ",": () => player.step(-1),
    ".": () => player.step(1),
    "0": () => byId("fit").click(),
    l: () => byId("loop").click(),
    f: () => byId("full").click(),
  };
  document.addEventListener("keydown", (event) => {
    const target = event.target as HTMLElement;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.matches("select") || (event.key === " " && target.matches("button, a, input")))
      return;
    const action = keys[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

function wirePanels(): void {
  netSelect.onchange = () => attempt(() => (avoided.clear(), offerSizes(), reopen()));
  sizeSelect.onchange = () => attempt(() => (offerWays(), reopen()));
  waySelect.onchange = () => attempt(() => (avoided.clear(), reopen()));
  threadSelect.onchange = () => attempt(reopen);
  byId("use-sample").onclick = () => attempt(useSample);
  byId("use-camera").onclick = () => attempt(() => useVideo("use-camera", () => player.openCamera()));
  for (const [button, input] of [["use-file", "video-file"], ["use-net", "net-file"]] as const) {
    const picker = byId<HTMLInputElement>(input);
    byId(button).onclick = () => picker.click();
    picker.onchange = () => {
      const files = [...(picker.files ?? [])];
      picker.value = "";
      attempt(() => openFiles(files));
    };
  }
  byId<HTMLInputElement>("simulate").onchange = ({ target }) => {
    live.simulate = (target as HTMLInputElement).checked;
    live.clear();
    void live.redo();
  };
  byId("copy").onclick = () => attempt(copyReport);
  byId("dismiss").onclick = () => say(null);
  byId("theme").onclick = () => {
    const root = document.documentElement;
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  };
}

function wireDrop(): void {
  const zone = byId("drop");
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) zone.hidden = true;
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.hidden = true;
    const files = [...(event.dataTransfer?.files ?? [])];
    attempt(() => openFiles(files));
  });
}

function wireLoop(): void {
  live.onshown = () => {
    veil(null);
    showFigures(live);
  };
  live.onfailed = (message) =>
    attempt(async () => {
      const failed = live.session?.way;
      if (failed) avoided.add(failed);
      await reopen();
      if (failed) say(`${WAY_NAMES[failed]} stopped: ${message} The network was opened again.`);
    });
  player.onchange = showTransport;
  player.onerror = (message) => {
    veil(null);
    say(message);
  };
  const stage = {
    screen: screen_,
    divider: byId("divider"),
    view,
    aspect: () => {
      const card = live.session?.card;
      return card ? card.width / card.height : 16 / 9;
    },
    changed: showView,
  };
  control(stage);
  setSplit(stage, 0.5);
  new ResizeObserver(fitCanvas).observe(screen_);
}

async function start(): Promise<void> {
  wireTransport();
  wirePanels();
  wireDrop();
  wireLoop();
  showDevice(machine, painter.name);
  const most = machine.isolated ? Math.min(machine.cores, 8) : 1;
  const counts = Array.from({ length: most }, (_, index) => String(index + 1));
  showOptions(threadSelect, counts.map((count) => [count, count]), String(threadsFor(machine)));
  const sample = useSample();
  sample.catch(() => {});
  await listed;
  offerNets();
  await Promise.all([reopen(), sample]);
}

async function open(net: string, size: string, way: string): Promise<void> {
  netSelect.value = net;
  offerSizes();
  sizeSelect.value = size;
  offerWays();
  waySelect.value = way;
  avoided.clear();
  await reopen();
}

const ready = start();
const probe = makeProbe({ machine, live, player, ready, report: measured, open });
Object.assign(globalThis, { edgevsrDemo: probe });
attempt(() => ready);
