// What an administrator does with an agent: let it in, let it enrol, throw it out.
import { useState } from "preact/hooks";
import { messageOf, send } from "../api.ts";
import type { Agent } from "../lib/types.ts";
import { Dialog } from "./dialog.tsx";
import { CopyButton } from "./values.tsx";

const DAY_SECONDS = 86_400;

function ErrorLine({ error }: { error: string }) {
  return error ? (
    <p class="field-error" role="alert">
      {error}
    </p>
  ) : null;
}

export function RevokeDialog({ agent, onClose, onDone }: { agent: Agent; onClose: () => void; onDone: (message: string) => void }) {
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const revoke = (): void => {
    setBusy(true);
    send("POST", `/api/v1/agents/${encodeURIComponent(agent.name)}/revoke`, {}).then(
      () => onDone(`${agent.name} is revoked.`),
      (reason: unknown) => {
        setError(messageOf(reason));
        setBusy(false);
      },
    );
  };
  const actions = (
    <>
      <button type="button" onClick={onClose}>
        Cancel
      </button>
      <button type="button" class="danger" disabled={busy} onClick={revoke}>
        {busy ? "Revoking…" : `Revoke ${agent.name}`}
      </button>
    </>
  );
  return (
    <Dialog title={`Revoke ${agent.name}?`} onClose={onClose} actions={actions}>
      <p>Its token no longer works and the others are told to drop it as a peer. Its records stay. To come back it has to enrol anew.</p>
      <ErrorLine error={error} />
    </Dialog>
  );
}

interface Issued {
  token: string;
  expiresAt: string;
}

// An enrolment token is shown once: the server keeps its hash only.
export function EnrollDialog({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [issued, setIssued] = useState<Issued>();
  const [error, setError] = useState("");
  const create = (event: Event): void => {
    event.preventDefault();
    send<Issued>("POST", "/api/v1/agent-isolation/enrollment-tokens", { agentName: name.trim(), ttlSeconds: DAY_SECONDS }).then(
      (answer) => {
        setIssued(answer);
        setError("");
      },
      (reason: unknown) => setError(messageOf(reason)),
    );
  };
  const command = `lattice enroll --server ${location.origin} --name ${name.trim()} --token ${issued?.token ?? ""} --out ${name.trim()}.jwt`;
  return (
    <Dialog title="Enrol an agent" onClose={onClose}>
      {issued ? (
        <>
          <p>On the agent's node, within 24 hours. The token is good once and is not shown again:</p>
          <p class="command">
            <code>{command}</code> <CopyButton text={command} what="the command" />
          </p>
          <p class="muted">
            Its data plane then runs with <code>--agent-token-file={name.trim()}.jwt</code>. It may reach nothing until its policy has a rule.
          </p>
        </>
      ) : (
        <form class="filter-form" onSubmit={create}>
          <input type="text" class="mono" required value={name} placeholder="build-agent-7" aria-label="Name of the agent" spellcheck={false} onInput={(event) => setName(event.currentTarget.value)} />
          <button type="submit" class="primary">
            Make a token
          </button>
        </form>
      )}
      <ErrorLine error={error} />
    </Dialog>
  );
}
