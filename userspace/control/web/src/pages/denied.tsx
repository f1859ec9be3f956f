// What was denied, and the rule that would have allowed it.
import { useState } from "preact/hooks";
import type { PageProps } from "../app.tsx";
import { get } from "../api.ts";
import { useKeys, useLoad, useNow, useRowKeys } from "../hooks.ts";
import { parseTerm, parseView, printView, queryOf, removeTerm, setField, type View } from "../lib/filter.ts";
import { count, endpoint, plural } from "../lib/format.ts";
import { attemptsLink } from "../lib/links.ts";
import type { Hint } from "../lib/types.ts";
import { reasonText } from "../lib/words.ts";
import { PolicyDialog } from "../parts/policy_dialog.tsx";
import { RangePicker } from "../parts/range.tsx";
import { Empty, Failed, Loading } from "../parts/states.tsx";
import { Ago, CopyButton } from "../parts/values.tsx";
import { navigate } from "../router.ts";

const LIMIT = 200;
const REFRESH_MS = 15_000;

export function DeniedPage({ search, session }: PageProps) {
  const all = parseView(search);
  const view: View = { ...all, terms: all.terms.filter((term) => term.field === "agentName"), order: "desc" };
  const now = useNow();
  const hints = useLoad(queryOf(view, { limit: String(LIMIT) }), (signal) =>
    get<{ list: Hint[] }>(`/api/v1/audit/flow/hints?${queryOf(view, { limit: String(LIMIT) })}`, signal), view.to ? 0 : REFRESH_MS);
  const [allow, setAllow] = useState<Hint>();
  const [saved, setSaved] = useState("");
  const list = hints.data?.list ?? [];
  const [selected] = useRowKeys(list.length, (index) => {
    const hint = list[index];
    if (hint) navigate(attemptsLink(hint, view));
  }, () => {});
  useKeys({ r: hints.reload });
  const show = (next: View): void => navigate(`/denied${printView(next)}`);
  return (
    <>
      <div class="page-head">
        <h1>Denied</h1>
        <RangePicker view={view} now={now} onChange={show} />
      </div>
      <AgentFilter view={view} onChange={show} agents={[...new Set(list.map((hint) => hint.agentId))]} />
      {saved && (
        <div class="notice good" role="status">
          {saved}
        </div>
      )}
      {hints.error && <Failed error={hints.error} retry={hints.reload} />}
      {hints.data === undefined && !hints.error && <Loading />}
      {hints.data && list.length === 0 && <Empty title="Nothing was denied">in this range. What agents reached is in Flows.</Empty>}
      {list.length > 0 && (
        <p class="muted table-bar" role="status">
          {plural(list.length, "destination")}{list.length === LIMIT ? " or more" : ""}, {plural(list.reduce((sum, hint) => sum + hint.attempts, 0), "attempt")}
        </p>
      )}
      {list.length > 0 && (
        <table class="cards denied" aria-label="Denied destinations">
          <thead>
            <tr>
              <th>Agent</th>
              <th>Destination</th>
              <th class="num">Attempts</th>
              <th>Last</th>
              <th>Why</th>
              <th>Rule that would allow it</th>
            </tr>
          </thead>
          <tbody>
            {list.map((hint, index) => (
              <HintRow key={`${hint.agentId} ${hint.dstIp} ${hint.dstPort} ${hint.protocol} ${hint.reason}`} hint={hint} view={view} now={now} selected={index === selected} isAdmin={session.role === "admin"} onAllow={() => setAllow(hint)} />
            ))}
          </tbody>
        </table>
      )}
      {allow && (
        <PolicyDialog
          agent={allow.agentId}
          addRule={allow.rule ?? ""}
          canEdit={session.role === "admin"}
          onClose={() => setAllow(undefined)}
          onSaved={(message) => {
            setSaved(message);
            setAllow(undefined);
            hints.reload();
          }}
        />
      )}
    </>
  );
}

interface RowProps {
  hint: Hint;
  view: View;
  now: number;
  selected: boolean;
  isAdmin: boolean;
  onAllow: () => void;
}

function HintRow({ hint, view, now, selected, isAdmin, onAllow }: RowProps) {
  const address = endpoint(hint.dstIp, hint.dstPort);
  return (
    <tr class={selected ? "row selected" : "row"} aria-selected={selected}>
      <td data-label="Agent">{hint.agentId}</td>
      <td data-label="Destination">
        <a href={attemptsLink(hint, view)} title="All attempts">
          {hint.host ? <b>{hint.host}</b> : <b>{address}</b>}
        </a>{" "}
        <span class="muted">
          {hint.host ? `${address} ` : ""}
          {hint.protocol}
        </span>
      </td>
      <td data-label="Attempts" class="num">
        {count(hint.attempts)}
      </td>
      <td data-label="Last">
        <Ago value={hint.last} now={now} />
      </td>
      <td data-label="Why" class="why">
        <code>{hint.reason}</code> <span class="muted">{reasonText(hint.reason)}</span>
      </td>
      <td data-label="Rule" class="hint-rule">
        {hint.rule ? (
          <>
            <code>{hint.rule}</code>
            <span class="actions">
              <CopyButton text={hint.rule} what={`rule ${hint.rule}`} />
              {isAdmin && (
                <button type="button" onClick={onAllow} aria-label={`Allow ${hint.rule} for ${hint.agentId}`}>
                  allow…
                </button>
              )}
            </span>
          </>
        ) : (
          <span class="muted">no rule would allow it</span>
        )}
      </td>
    </tr>
  );
}

function AgentFilter({ view, onChange, agents }: { view: View; onChange: (view: View) => void; agents: string[] }) {
  const submit = (event: Event): void => {
    event.preventDefault();
    const input = (event.currentTarget as HTMLFormElement).elements.namedItem("agent") as HTMLInputElement;
    const text = input.value.trim();
    onChange(text ? { ...view, terms: [parseTerm(text, "agentName")] } : setField(view, "agentName", ""));
    input.value = "";
  };
  return (
    <div class="filters">
      <form class="filter-form" onSubmit={submit} role="search">
        <input name="agent" data-filter type="text" list="agents" autocomplete="off" spellcheck={false} placeholder="agent ( / )" aria-label="Agent" />
        <datalist id="agents">
          {agents.map((agent) => (
            <option key={agent} value={agent} />
          ))}
        </datalist>
        <button type="submit">Filter</button>
      </form>
      {view.terms.length > 0 && (
        <ul class="chips" aria-label="Filters">
          {view.terms.map((term, index) => (
            <li key={term.value} class="chip">
              <button type="button" class="chip-text" title="Remove" onClick={() => onChange(removeTerm(view, index))}>
                agent {term.negate ? "≠" : "="} <b>{term.value}</b> ×
              </button>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
