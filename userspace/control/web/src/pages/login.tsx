import { useEffect, useRef, useState } from "preact/hooks";
import { messageOf } from "../api.ts";
import type { Session } from "../lib/types.ts";
import { login } from "../session.ts";

export function LoginPage({ onSession }: { onSession: (session: Session) => void }) {
  const input = useRef<HTMLInputElement>(null);
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    document.title = "Sign in · Lattice";
    input.current?.focus();
  }, []);
  const submit = (event: Event): void => {
    event.preventDefault();
    const token = input.current?.value.trim() ?? "";
    if (token === "") {
      setError("Paste a token first.");
      return;
    }
    setBusy(true);
    login(token).then(onSession, (reason: unknown) => {
      setError(messageOf(reason));
      setBusy(false);
      input.current?.select();
    });
  };
  return (
    <main class="login">
      <form onSubmit={submit} class="panel">
        <h1>Lattice</h1>
        <p class="muted">Who talked to what, what was denied and why.</p>
        <label for="token">Token</label>
        <input id="token" ref={input} type="password" name="token" autocomplete="current-password" spellcheck={false} aria-invalid={error !== ""} aria-describedby="login-error" />
        <p id="login-error" class="field-error" role="alert">
          {error}
        </p>
        <button type="submit" class="primary" disabled={busy}>
          {busy ? "Signing in…" : "Sign in"}
        </button>
        <p class="muted small">
          The first administrator's token is in the file <code>admin.token</code> of latticed's data folder. It stays in this browser as a cookie
          that scripts cannot read.
        </p>
      </form>
    </main>
  );
}
