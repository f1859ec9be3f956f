import { useState } from "preact/hooks";
import type { PageProps } from "../app.tsx";
import { get, messageOf, send } from "../api.ts";
import { useKeys, useLoad, useNow, useRowKeys } from "../hooks.ts";
import { parseView, printView, queryOf, type View } from "../lib/filter.ts";
import { bytes, count, plural } from "../lib/format.ts";
import { topLink } from "../lib/links.ts";
import type { Agent } from "../lib/types.ts";
import { EnrollDialog, RevokeDialog } from "../parts/agent_dialogs.tsx";
import { PolicyDialog } from "../parts/policy_dialog.tsx";
import { RangePicker } from "../parts/range.tsx";
import { Empty, Failed, Loading } from "../parts/states.tsx";
import { Ago } from "../parts/values.tsx";
import { navigate } from "../router.ts";

const REFRESH_MS = 15_000;

export function AgentsPage({ search, session }: PageProps) {
  const view: View = { ...parseView(search), terms: [], order: "desc" };
  const now = useNow();
  const agents = useLoad(queryOf(view), (signal) => get<{ list: Agent[] }>(`/api/v1/agents?${queryOf(view)}`, signal), REFRESH_MS);
  const [word, setWord] = useState("");
  const [policyOf, setPolicyOf] = useState<string>();
  const [revoke, setRevoke] = useState<Agent>();
  const [enroll, setEnroll] = useState(false);
  const [saved, setSaved] = useState("");
  const isAdmin = session.role === "admin";
  const all = [...(agents.data?.list ?? [])].sort((a, b) => a.name.localeCompare(b.name));
  const list = all.filter((agent) => [agent.name, agent.address, agent.hostname, agent.status].some((text) => text?.includes(word)));
  const [selected] = useRowKeys(list.length, (index) => setPolicyOf(list[index]?.name), () => setWord(""));
  useKeys({ r: agents.reload });
  const approve = (name: string): void => {
    send("POST", `/api/v1/agents/${encodeURIComponent(name)}/approve`, {}).then(
      () => done(`${name} is approved.`),
      (reason: unknown) => setSaved(`${name} was not approved: ${messageOf(reason)}`),
    );
  };
  const done = (message: string): void => {
    setSaved(message);
    setPolicyOf(undefined);
    setRevoke(undefined);
    agents.reload();
  };
  return (
    <>
      <div class="page-head">
        <h1>Agents</h1>
        <RangePicker view={view} now={now} onChange={(next) => navigate(`/agents${printView(next)}`)} />
      </div>
      <div class="filters">
        <div class="filter-form">
          <input data-filter type="text" value={word} placeholder="name, address, host or status ( / )" aria-label="Find an agent" spellcheck={false} onInput={(event) => setWord(event.currentTarget.value)} />
          {isAdmin && (
            <button type="button" onClick={() => setEnroll(true)}>
              Enrol…
            </button>
          )}
        </div>
      </div>
      {saved && (
        <div class="notice good" role="status">
          {saved}
        </div>
      )}
      {agents.error && <Failed error={agents.error} retry={agents.reload} />}
      {agents.data === undefined && !agents.error && <Loading />}
      {agents.data && list.length === 0 && (
        <Empty title={all.length === 0 ? "No agent yet" : "No agent matches"}>
          {all.length === 0 && (
            <>
              An agent appears when it enrols, or when a data plane with <code>--agent-name</code> and <code>--nats-url</code> reports its first
              flow.
            </>
          )}
        </Empty>
      )}
      {list.length > 0 && <p class="muted table-bar" role="status">{plural(list.length, "agent")}</p>}
      {list.length > 0 && (
        <table class="cards" aria-label="Agents">
          <thead>
            <tr>
              <th>Agent</th>
              <th>Status</th>
              <th>Address</th>
              <th>Last seen</th>
              <th class="num">Flows</th>
              <th class="num">Denied</th>
              <th class="num">Bytes</th>
              <th>Host</th>
              <th />
            </tr>
          </thead>
          <tbody>
            {list.map((agent, index) => (
              <AgentRow key={agent.name} agent={agent} view={view} now={now} selected={index === selected} isAdmin={isAdmin} onPolicy={() => setPolicyOf(agent.name)} onApprove={() => approve(agent.name)} onRevoke={() => setRevoke(agent)} />
            ))}
          </tbody>
        </table>
      )}
      {policyOf !== undefined && <PolicyDialog agent={policyOf} canEdit={isAdmin} onClose={() => setPolicyOf(undefined)} onSaved={done} />}
      {enroll && <EnrollDialog onClose={() => setEnroll(false)} />}
      {revoke && <RevokeDialog agent={revoke} onClose={() => setRevoke(undefined)} onDone={done} />}
    </>
  );
}

interface RowProps {
  agent: Agent;
  view: View;
  now: number;
  selected: boolean;
  isAdmin: boolean;
  onPolicy: () => void;
  onApprove: () => void;
  onRevoke: () => void;
}

const LEVELS: Record<string, string> = { active: "good", pending: "warn", revoked: "bad" };

function AgentRow({ agent, view, now, selected, isAdmin, onPolicy, onApprove, onRevoke }: RowProps) {
  const enrolled = Boolean(agent.status);
  return (
    <tr class={selected ? "row selected" : "row"} aria-selected={selected}>
      <td data-label="Agent">
        <a href={topLink("agentName", agent.name, false, view)} title="Its flows">
          <b>{agent.name}</b>
        </a>
      </td>
      <td data-label="Status">
        {enrolled ? (
          <span class={`tag ${LEVELS[agent.status ?? ""] ?? ""}`}>{agent.status}</span>
        ) : (
          <span class="muted" title="Seen in the records only; its policy is on its node">
            not enrolled
          </span>
        )}
      </td>
      <td data-label="Address" class="mono">
        {agent.address || <span class="muted">–</span>}
      </td>
      <td data-label="Last seen">
        <Ago value={agent.lastSeen || agent.lastHeartbeat} now={now} />
      </td>
      <td data-label="Flows" class="num">
        {count(agent.flows)}
      </td>
      <td data-label="Denied" class="num">
        {agent.denied ? (
          <a class="bad-text" href={`/denied${printView({ ...view, terms: [{ field: "agentName", value: agent.name, negate: false }] })}`}>
            {count(agent.denied)}
          </a>
        ) : (
          0
        )}
      </td>
      <td data-label="Bytes" class="num">
        {bytes(agent.bytes)}
      </td>
      <td data-label="Host">{[agent.hostname, agent.platform].filter(Boolean).join(", ") || <span class="muted">–</span>}</td>
      <td class="actions">
        <button type="button" onClick={onPolicy} aria-label={`Policy of ${agent.name}`}>
          policy
        </button>
        {isAdmin && agent.status === "pending" && (
          <button type="button" class="primary" onClick={onApprove} aria-label={`Approve ${agent.name}`}>
            approve
          </button>
        )}
        {isAdmin && enrolled && agent.status !== "revoked" && (
          <button type="button" class="danger" onClick={onRevoke} aria-label={`Revoke ${agent.name}`}>
            revoke…
          </button>
        )}
      </td>
    </tr>
  );
}
