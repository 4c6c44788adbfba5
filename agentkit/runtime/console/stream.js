/** NDJSON streams: read line by line, watched for silence, taken up again where they broke off. */

import { HEADERS, tellUnauthorized } from "./api.js";
import { parse } from "./json.js";

const SILENCE_MS = 30_000; // three heartbeats
const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 10_000;
const HIDDEN_MS = 15_000; // a page in the background gives its connection back: a browser has six per server

/**
 * @typedef {"connecting"|"live"|"waiting"|"hidden"|"refused"|"over"} LinkState
 */

/** One stream that stays, until it is closed. */
export class Stream {
  /**
   * @param {string} path
   * @param {{onItem: (item: any) => void, onOpen?: () => void, onState?: (state: LinkState) => void, ends?: boolean,
   *   cursor?: number|null}} options `onOpen`: connected (again), before the first item; `ends`: the server closes it
   *   when there is nothing more to come
   */
  constructor(path, { onItem, onOpen = () => {}, onState = () => {}, ends = false, cursor = null }) {
    this.path = path;
    this.cursor = cursor;
    this.onItem = onItem;
    this.onOpen = onOpen;
    this.onState = onState;
    this.ends = ends;
    this.isClosed = false;
    this.connection = null;
    this.run();
  }

  /** Ends it for good. */
  close() {
    this.isClosed = true;
    this.connection?.abort();
    this.wake?.();
  }

  async run() {
    const leave = () => this.connection?.abort();
    const attention = watchAttention({ onHidden: leave, onBack: () => this.wake?.() });
    try {
      for (let failures = 0; !this.isClosed;) {
        if (!attention.isThere()) {
          this.onState("hidden");
          await this.pause(null);
          continue;
        }
        const outcome = await this.connect();
        if (outcome === "refused" || (outcome === "over" && this.ends))
          return this.onState(this.isClosed ? "over" : outcome);
        failures = outcome === "over" ? 0 : failures + 1;
        if (this.isClosed || !attention.isThere()) continue;
        this.onState("waiting");
        await this.pause(Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** failures) * (0.75 + Math.random() / 2));
      }
    } finally {
      attention.end();
    }
  }

  /** One connection: "over" after some was read, "broken" where nothing came, "refused" where coming back is no use. */
  async connect() {
    this.onState("connecting");
    this.connection = new AbortController();
    const watchdog = new Watchdog(() => this.connection.abort());
    let isLive = false;
    try {
      const address = this.cursor === null ? this.path : `${this.path}?after=${this.cursor}`;
      const headers = { ...HEADERS, Accept: "application/x-ndjson" };
      const response = await fetch(address, {
        headers,
        credentials: "same-origin",
        cache: "no-store",
        signal: this.connection.signal,
      });
      if (!response.ok) return refusal(response.status);
      this.onState("live");
      this.onOpen();
      for await (const line of lines(response.body, watchdog)) {
        isLive = true;
        this.take(line);
      }
      return "over";
    } catch (error) {
      if (error.name !== "AbortError" && !(error instanceof TypeError)) console.info("stream", this.path, error);
      return isLive ? "over" : "broken";
    } finally {
      watchdog.end();
      this.connection.abort();
    }
  }

  take(line) {
    if (this.isClosed || line === "") return;
    const item = parse(line);
    if (item.type === "heartbeat" && item.event === undefined) return;
    this.onItem(item);
    if (Number.isInteger(item.id)) this.cursor = item.id;
  }

  pause(milliseconds) {
    return new Promise((resolve) => {
      const timer = milliseconds === null ? null : setTimeout(resolve, milliseconds);
      const online = () => this.wake?.();
      window.addEventListener("online", online, { once: true });
      this.wake = () => {
        clearTimeout(timer);
        window.removeEventListener("online", online);
        this.wake = null;
        resolve();
      };
    });
  }
}

/** Ends a connection that says nothing for too long. */
class Watchdog {
  constructor(onSilence) {
    this.onSilence = onSilence;
    this.heard();
  }

  heard() {
    clearTimeout(this.timer);
    this.timer = setTimeout(this.onSilence, SILENCE_MS);
  }

  end() {
    clearTimeout(this.timer);
  }
}

/**
 * The lines of a body, as they come. The bytes of a character may come apart.
 * @param {ReadableStream<Uint8Array>} body
 * @param {{heard: () => void}} [watchdog]
 */
export async function* lines(body, watchdog) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let parts = [];
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      watchdog?.heard();
      const pieces = decoder.decode(value, { stream: true }).split("\n");
      for (const piece of pieces.slice(0, -1)) {
        parts.push(piece);
        const line = parts.join("");
        parts = [];
        yield line;
      }
      parts.push(pieces.at(-1));
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function refusal(status) {
  if (status === 401) tellUnauthorized();
  return status === 401 || status === 403 || status === 404 ? "refused" : "broken";
}

/** Whether somebody can see the page; `onHidden` is called once nobody could for a while. */
function watchAttention({ onHidden, onBack }) {
  let isThere = true;
  let timer = null;
  const look = () => {
    clearTimeout(timer);
    if (document.visibilityState === "visible") {
      isThere = true;
      onBack();
      return;
    }
    timer = setTimeout(() => {
      isThere = false;
      onHidden();
    }, HIDDEN_MS);
  };
  document.addEventListener("visibilitychange", look);
  if (document.visibilityState !== "visible") look();
  return {
    isThere: () => isThere,
    end: () => (clearTimeout(timer), document.removeEventListener("visibilitychange", look)),
  };
}
