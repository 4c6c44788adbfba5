/** Everything that waits for a person, live: one list for the whole page, whatever part of it shows some of them. */

import { at, get } from "./api.js";
import { Stream } from "./stream.js";

const HIDDEN_POLL_MS = 20_000; // a page in the background asks, instead of holding a connection
const MOST_PAGES = 20;
const PAGE = 100;

/**
 * An InterruptDTO, as far as the pages read it.
 * @typedef {{id: string, chat_id: string, chat_path: string[], run_id: string, reason: string, resource_id: string,
 *   status: string, resolution: string|null, decision: string|null, resolved_by: string|null, resolved_as: string|null,
 *   resolved_at: string|null, note: string, meta: Object, arguments_hash: string, edited_from: Object|null,
 *   answer_schema: Object|null, approvers: string[]|null, expires_at: string|null, created_at: string,
 *   updated_at: string, context?: Object}} Question
 */

/** The questions, by id. Events: `change` (detail: {question, was}), `state` (detail: the link's), `ready`. */
class Questions extends EventTarget {
  constructor() {
    super();
    /** @type {Map<string, Question>} */
    this.known = new Map();
    this.state = "connecting";
    this.isReady = false;
    this.stream = null;
    this.timer = null;
  }

  /** Begins to listen. */
  start() {
    if (this.stream) return;
    const read = (item) => {
      if (item.event === "interrupts") for (const each of [item.data].flat()) this.put(each);
    };
    const onState = (state) => this.tellState(state);
    this.stream = new Stream("/interrupts/stream", { onItem: read, onOpen: () => this.reconcile(), onState });
  }

  /** Forgets everything: somebody else may be at the page next. */
  stop() {
    this.stream?.close();
    clearInterval(this.timer);
    this.stream = this.timer = null;
    this.known.clear();
    this.isReady = false;
  }

  /** Those that wait, the one that waits longest first. */
  pending() {
    return [...this.known.values()].filter((each) => each.status === "pending").sort(byAge);
  }

  /** Takes in what is known of a question now; what is older than that is left. */
  put(question) {
    const was = this.known.get(question.id);
    if (was && !isNewer(question, was)) return was;
    const isSame = was?.arguments_hash === question.arguments_hash;
    const now = was?.context && isSame && !question.context ? { ...question, context: was.context } : question;
    this.known.set(question.id, now);
    this.dispatchEvent(new CustomEvent("change", { detail: { question: now, was } }));
    return now;
  }

  /** Fetches one, with what a person needs to decide. Raises ApiError. */
  async fetch(id) {
    return this.put(await get(at`/interrupts/${id}`));
  }

  /** What happened while nobody listened: everything that waits now, and what became of those that did. */
  async reconcile() {
    const before = this.pending().map((each) => each.id);
    try {
      const waiting = new Set();
      for await (const each of pages("/interrupts", { status: "pending", limit: PAGE })) {
        waiting.add(each.id);
        this.put(each);
      }
      if (waiting.size < MOST_PAGES * PAGE)
        await Promise.all(before.filter((id) => !waiting.has(id)).map((id) => this.settle(id)));
      this.isReady = true;
      this.dispatchEvent(new Event("ready"));
    } catch (error) {
      console.info("inbox", error.message);
    }
  }

  /** What became of a question that does not wait any more; one that is gone was withdrawn. */
  async settle(id) {
    try {
      await this.fetch(id);
    } catch (error) {
      const was = this.known.get(id);
      if (error.status === 404 && was) this.put({ ...was, status: "cancelled" });
    }
  }

  tellState(state) {
    this.state = state;
    clearInterval(this.timer);
    this.timer = state === "hidden" ? setInterval(() => this.reconcile(), HIDDEN_POLL_MS) : null;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }
}

/** The one list. */
export const questions = new Questions();

/**
 * The items of a list, page after page.
 * @param {string} path
 * @param {Object} query
 */
async function* pages(path, query) {
  let cursor;
  for (let count = 0; count < MOST_PAGES; count++) {
    const page = await get(path, { query: { ...query, cursor } });
    yield* page.items;
    if (!page.has_next || !page.next_cursor) return;
    cursor = page.next_cursor;
  }
}

/** Whether a question was asked in this chat, or below it. */
export function isOf(question, chatId) {
  return question.chat_id === chatId || (question.chat_path ?? []).includes(chatId);
}

/** Where the chat is that people talk to, and in it the question. */
export function chatPath({ chat_id: chatId, chat_path: path }) {
  return `/console/chats/${encodeURIComponent(path?.[0] ?? chatId)}`;
}

function isNewer(question, was) {
  if (was.status !== "pending" && question.status === "pending") return false;
  return question.status !== was.status || !!question.context || question.updated_at >= was.updated_at;
}

function byAge(one, other) {
  return one.created_at < other.created_at ? -1 : one.created_at > other.created_at ? 1 : one.id < other.id ? -1 : 1;
}
