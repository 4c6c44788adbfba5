/** Signing in: a key for a cookie. The key is kept nowhere. */

import { fresh, h, say } from "./dom.js";
import { signIn } from "./session.js";

/** The page that asks for a key. `onDone`: somebody is signed in. */
export function signInPage(onDone) {
  const id = fresh("key");
  const field = h("input", {
    id,
    type: "password",
    testid: "api-key",
    autocomplete: "off",
    required: true,
    spellcheck: "false",
  });
  const problem = h("p", { class: "problem", role: "alert", testid: "sign-in-problem" });
  const button = h("button", { type: "submit", class: "primary", testid: "sign-in", text: "Sign in" });
  const form = h(
    "form",
    { class: "sign-in" },
    h("h1", { text: "agentkit console" }),
    h("p", {
      class: "muted",
      text: "Sign in with an API key of this server. It is exchanged for a cookie, and not kept in the browser.",
    }),
    h("label", { for: id, text: "API key" }),
    field,
    problem,
    button,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    say(problem, "");
    try {
      await signIn(field.value.trim());
      field.value = "";
      onDone();
    } catch (error) {
      say(problem, error.message);
      field.focus();
    } finally {
      button.disabled = false;
    }
  });
  return { element: form, title: () => "Sign in", open: () => field.focus(), close: () => {} };
}
