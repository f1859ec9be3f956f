// Shows an agent's policy, lets an administrator change it, and asks with the exact result before it is put in force.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { get, messageOf, send } from "../api.ts";
import { useLoad } from "../hooks.ts";
import { plural } from "../lib/format.ts";
import { parseRules, ruleChanges, ruleError } from "../lib/rule.ts";
import type { Agent, Policy } from "../lib/types.ts";
import { Dialog } from "./dialog.tsx";
import { RuleList } from "./rule_list.tsx";
import { Failed, Loading } from "./states.tsx";
import { CopyButton } from "./values.tsx";

// The list was made from one version: what somebody else put in force meanwhile is not undone by it, the server refuses.
async function put(agent: string, rules: string[], version: number): Promise<void> {
  await send<unknown>("PUT", pathOf(agent), { rules, version });
}

interface Props {
  agent: string;
  canEdit: boolean;
  addRule?: string; // proposed for the end of the list
  onClose: () => void;
  onSaved: (message: string) => void;
}

const pathOf = (agent: string): string => `/api/v1/agents/${encodeURIComponent(agent)}/policy`;

// Nothing where the agent has no policy here: it was only seen in the records. Asking for its policy would be an error.
async function loadPolicy(agent: string, signal: AbortSignal): Promise<Policy | null> {
  const { list } = await get<{ list: Agent[] }>("/api/v1/agents", signal);
  if (!list.some((entry) => entry.name === agent && entry.status)) return null;
  const policy = await get<Policy>(pathOf(agent), signal);
  return { ...policy, rules: policy.rules ?? [] };
}

export function PolicyDialog(props: Props) {
  const policy = useLoad(props.agent, (signal) => loadPolicy(props.agent, signal));
  if (policy.data) return <Editor key={policy.data.version} {...props} policy={policy.data} reload={policy.reload} />;
  return (
    <Dialog title={titleOf(props)} onClose={props.onClose}>
      {policy.error ? <Failed error={policy.error} retry={policy.reload} /> : policy.data === null ? <NotEnrolled {...props} /> : <Loading />}
    </Dialog>
  );
}

function titleOf({ agent, addRule, canEdit }: Props): string {
  return addRule ? `Allow for ${agent}` : canEdit ? `Policy of ${agent}` : `Policy of ${agent} (read only)`;
}

function NotEnrolled({ agent, addRule }: Props) {
  const flag = `--egress-allow=${addRule ?? "CIDR:PORT"}`;
  return (
    <>
      <p>
        <strong>{agent}</strong> is not enrolled with this control plane: its policy is on its node. Add it there and the running data plane
        takes it over without a restart of its flows:
      </p>
      <p class="command">
        <code>{flag}</code> <CopyButton text={flag} what="the flag" />
      </p>
      <p class="muted">An agent that is enrolled gets its policy from here.</p>
    </>
  );
}

function Editor(props: Props & { policy: Policy; reload: () => void }) {
  const { agent, canEdit, addRule, policy, reload, onClose, onSaved } = props;
  const before = policy.rules;
  const [rule, setRule] = useState(addRule ?? "");
  const [text, setText] = useState(before.join("\n"));
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);

  const edited = parseRules(text);
  const after = addRule === undefined ? edited.rules : before.includes(rule.trim()) ? before : [...before, rule.trim()];
  const wrong = addRule === undefined ? edited.errors : [ruleError(rule)].filter(Boolean);
  const changes = ruleChanges(before, after).filter((change) => change.change !== "kept");
  const reordered = changes.length === 0 && after.join("\n") !== before.join("\n");
  const save = (): void => {
    setBusy(true);
    put(agent, after, policy.version).then(
      () => onSaved(`The policy of ${agent} now has ${plural(after.length, "rule")}. A node that takes its policy from here has it within seconds.`),
      (reason: unknown) => {
        setError(messageOf(reason));
        setBusy(false);
      },
    );
  };
  const disabled = busy || wrong.length > 0 || (changes.length === 0 && !reordered);
  const actions: ComponentChildren = canEdit ? (
    <>
      <button type="button" onClick={onClose}>
        Cancel
      </button>
      <button type="button" class="primary" disabled={disabled} onClick={save}>
        {busy ? "Saving…" : addRule ? "Allow" : "Put in force"}
      </button>
    </>
  ) : undefined;
  return (
    <Dialog title={titleOf(props)} onClose={onClose} actions={actions}>
      {addRule !== undefined && (
        <label class="field">
          Rule to add
          <input type="text" class="mono" value={rule} spellcheck={false} onInput={(event) => setRule(event.currentTarget.value)} aria-invalid={wrong.length > 0} />
        </label>
      )}
      {addRule === undefined && canEdit && (
        <label class="field">
          Rules, one a line: CIDR[:PORTS][/PROTO]
          <textarea class="mono" rows={Math.min(14, Math.max(5, before.length + 2))} value={text} spellcheck={false} onInput={(event) => setText(event.currentTarget.value)} aria-invalid={wrong.length > 0} />
        </label>
      )}
      {wrong.map((line) => (
        <p key={line} class="field-error" role="alert">
          {line}
        </p>
      ))}
      {error && (
        <div class="notice bad" role="alert">
          <span>{error}</span>
          <button type="button" onClick={reload}>
            Load the policy again
          </button>
        </div>
      )}
      <h3>
        {canEdit ? "Resulting policy" : "Policy"} <small class="muted">what no rule names is denied</small>
      </h3>
      <RuleList before={before} after={after} />
      {addRule !== undefined && changes.length === 0 && <p class="muted">The policy has this rule already: the attempts were made before it came into force.</p>}
    </Dialog>
  );
}
