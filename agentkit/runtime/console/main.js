/** The console: its frame, and which page is in it. */

import { onUnauthorized } from "./api.js";
import { Chat } from "./chat.js";
import { Chats } from "./chats.js";
import { fill, h, link, say } from "./dom.js";
import { forgetAll } from "./drafts.js";
import { Inbox } from "./inbox.js";
import { Keys } from "./keys.js";
import { questions } from "./questions.js";
import { Router } from "./router.js";
import { expire, giveName, givenName, isWelcome, load, session, signOut } from "./session.js";
import { signInPage } from "./signin.js";
import { Task, Tasks } from "./tasks.js";
import { Usage } from "./usage.js";

const ROUTES = [
  [/^\/console(?:\/inbox)?$/, "inbox", () => new Inbox()],
  [/^\/console\/chats$/, "chats", () => new Chats()],
  [/^\/console\/chats\/([^/]+)$/, "chat", (id) => new Chat(id, { go: (path) => router.go(path) })],
  [/^\/console\/tasks$/, "tasks", () => new Tasks()],
  [/^\/console\/tasks\/([^/]+)$/, "task", (id) => new Task(id)],
  [/^\/console\/usage$/, "usage", () => new Usage()],
];
const TABS = [
  ["inbox", "Inbox"],
  ["chats", "Chats"],
  ["tasks", "Tasks"],
  ["usage", "Usage"],
];
const STATES = {
  connecting: "connecting",
  live: "live",
  waiting: "reconnecting",
  hidden: "paused",
  refused: "no live updates",
  over: "",
};

const main = h("main", { id: "main", tabindex: "-1" });
const count = h("span", { class: "count", testid: "count" });
const tabs = new Map(TABS.map(([name, text]) => [name, link(`/console/${name}`, text, { testid: `tab-${name}` })]));
tabs.get("inbox").append(count);
const nav = h("nav", { "aria-label": "Pages" }, ...tabs.values());
const state = h("span", { class: "link-state", testid: "link-state", role: "status" });
const who = h("span", { class: "who" });
const help = h("button", {
  type: "button",
  class: "quiet",
  "aria-label": "Keys",
  title: "Keys (?)",
  text: "?",
  on: { click: () => keys.help.showModal() },
});
const header = h(
  "header",
  { class: "bar" },
  link("/console", "agentkit", { class: "brand" }),
  nav,
  h("div", { class: "right" }, state, who, help),
);
const trouble = h("div", { class: "trouble" });
const news = h("p", { class: "unseen", "aria-live": "polite", testid: "news" });
document.body.replaceChildren(
  h("a", { class: "skip", href: "#main", text: "Skip to the content" }),
  header,
  trouble,
  main,
  news,
);

const router = new Router(main, ROUTES, (name) => {
  const tab = { chat: "chats", task: "tasks" }[name] ?? name;
  for (const [each, anchor] of tabs) anchor.toggleAttribute("aria-current", each === tab);
  for (const [each, anchor] of tabs) if (each === tab) anchor.setAttribute("aria-current", "page");
  document.body.dataset.page = name;
  retitle();
});
const keys = new Keys({ go: (path) => router.go(path), isOn: () => router.page !== null });
const tabsOfOurs = new BroadcastChannel("agentkit.console");

/** The page's title, and how much waits. */
function retitle() {
  const waiting = isWelcome() ? questions.pending().length : 0;
  say(count, waiting ? String(waiting) : "");
  tabs.get("inbox").setAttribute("aria-label", waiting ? `Inbox, ${waiting} waiting` : "Inbox");
  const title = router.page?.title() ?? "agentkit";
  document.title = `${waiting && !title.startsWith("(") ? `(${waiting}) ` : ""}${title} \u00b7 agentkit`;
}

function announce({ question, was }) {
  if (questions.isReady && !was && question.status === "pending") {
    say(news, `New question: ${question.meta.tool_name ?? question.meta.message ?? "an answer is wanted"}`);
  }
  retitle();
}

function showWho() {
  const { needs_key: needsKey, name, groups, version } = session();
  header.title = version ? `agentkit ${version}` : "";
  if (needsKey) {
    const told = groups?.length ? `in ${groups.join(", ")}` : "in no group";
    return fill(
      who,
      h("span", { title: told, text: name ?? "" }),
      h("button", { type: "button", class: "quiet", testid: "sign-out", text: "Sign out", on: { click: leave } }),
    );
  }
  const field = h("input", {
    type: "text",
    class: "name",
    placeholder: "Your name",
    "aria-label": "Your name, for the records of what you answer",
    testid: "your-name",
    maxlength: 80,
  });
  field.value = givenName();
  field.addEventListener("change", () => giveName(field.value));
  return fill(who, field);
}

/** Signs out, here and in the other tabs. Where the server did not hear of it, the cookie counts: that is said. */
async function leave() {
  try {
    await signOut();
  } catch (error) {
    return fill(
      trouble,
      h(
        "p",
        { class: "notice", role: "alert", testid: "trouble" },
        `You are still signed in: signing out failed. ${error.message}`,
      ),
    );
  }
  tabsOfOurs.postMessage("signed-out");
  return goOut();
}

/** Signed out on purpose, here or in another tab: nothing that was typed is left behind. */
function goOut() {
  expire();
  askForKey();
  forgetAll();
}

/** The sign-in page, and then where one was. */
function askForKey() {
  if (document.body.dataset.page === "sign-in") return;
  router.leave();
  questions.stop();
  fill(trouble);
  header.hidden = true;
  const page = signInPage(() => {
    tabsOfOurs.postMessage("signed-in");
    begin();
  });
  document.body.dataset.page = "sign-in";
  document.title = "Sign in \u00b7 agentkit";
  main.replaceChildren(page.element);
  page.open();
  document.documentElement.dataset.ready = "sign-in";
}

function begin() {
  header.hidden = false;
  showWho();
  questions.start();
  router.show();
}

main.addEventListener("titlechange", retitle);
questions.addEventListener("change", ({ detail }) => announce(detail));
questions.addEventListener("ready", retitle);
questions.addEventListener("state", ({ detail }) => {
  say(state, STATES[detail] ?? "");
  state.dataset.state = detail;
});
const stranger = () => {
  expire();
  askForKey();
};
onUnauthorized(stranger);
tabsOfOurs.addEventListener("message", ({ data }) => (data === "signed-in" ? start() : goOut()));

/** Begins; a server that cannot be reached is asked again. */
async function start(wait = 500) {
  try {
    await load();
  } catch (error) {
    fill(main, h("p", { class: "empty", role: "alert", text: `${error.message} (asking again)` }));
    setTimeout(() => start(Math.min(wait * 2, 8_000)), wait);
    return;
  }
  if (!isWelcome()) askForKey();
  else if (router.page === null) begin();
}

start();
