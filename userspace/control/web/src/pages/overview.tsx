import { useMemo } from "preact/hooks";
import type { PageProps } from "../app.tsx";
import { get } from "../api.ts";
import { useKeys, useLoad, useNow } from "../hooks.ts";
import { judge } from "../lib/completeness.ts";
import { parseView, printView, queryOf, rangeOf, type View } from "../lib/filter.ts";
import { bytes, count, parseTime, rate } from "../lib/format.ts";
import { flowsLink, topLink } from "../lib/links.ts";
import { columnsOf } from "../lib/timeline.ts";
import type { Agent, Overview, TopEntry } from "../lib/types.ts";
import { RangePicker } from "../parts/range.tsx";
import { Banner, Empty, Failed } from "../parts/states.tsx";
import { TimelineCharts } from "../parts/timeline.tsx";
import { Ago } from "../parts/values.tsx";
import { navigate } from "../router.ts";

const REFRESH_MS = 10_000;
const ROWS = 8;
// Seconds after which an agent is shown as quiet.
const QUIET_SECONDS = 600;

export function OverviewPage({ search }: PageProps) {
  const view = parseView(search);
  const now = useNow();
  const query = queryOf({ ...view, terms: [], order: "desc" });
  const overview = useLoad(query, (signal) => load(query, view, signal), view.to ? 0 : REFRESH_MS);
  useKeys({ r: overview.reload });
  const loaded = overview.data;
  const columns = useMemo(() => columnsOf(loaded?.data.timeline, loaded?.range.from ?? 0, loaded?.range.to ?? 0), [loaded]);
  const show = (next: View): void => navigate(`/${printView(next)}`);
  const judgement = loaded && judge(loaded.data.completeness, now);
  return (
    <>
      <div class="page-head">
        <h1>Overview</h1>
        <RangePicker view={view} now={now} onChange={show} />
      </div>
      {overview.error && <Failed error={overview.error} retry={overview.reload} />}
      {judgement ? <Banner judgement={judgement} link={<a href="/integrity">Integrity</a>} /> : <div class="banner placeholder" />}
      <div class="overview">
        <Rate overview={loaded?.data} columns={columns} view={view} />
        {loaded ? (
          <TimelineCharts columns={columns} fromMs={loaded.range.from} toMs={loaded.range.to} onRange={(from, to) => show(spanOf(view, from, to))} />
        ) : (
          <section class="panel timeline placeholder" aria-busy="true" />
        )}
        <Top title="Top destinations" list={loaded?.data.topDestinations} view={view} denied={false} />
        <Top title="Most denied" list={loaded?.data.topDenied} view={view} denied />
        <Agents list={loaded?.data.agents} view={view} now={now} />
      </div>
    </>
  );
}

// The range is the one of the request, not of the moment it is drawn.
async function load(query: string, view: View, signal: AbortSignal) {
  const range = rangeOf(view, Date.now());
  return { range, data: await get<Overview>(`/api/v1/overview?${query}`, signal) };
}

function spanOf(view: View, from: number, to: number): View {
  return { ...view, from: new Date(from).toISOString(), to: new Date(to).toISOString() };
}

function Rate({ overview, columns, view }: { overview: Overview | undefined; columns: { allowed: number[]; denied: number[] }; view: View }) {
  const total = (list: number[]): number => list.reduce((sum, value) => sum + value, 0);
  const denied = total(columns.denied);
  const figures = [
    { label: "flows a second, last minute", value: overview ? rate(overview.rate.perSecond) : "–", href: "/live", bad: false },
    { label: "flows allowed", value: overview ? count(total(columns.allowed)) : "–", href: flowsLink([{ field: "verdict", value: "allow", negate: false }], view), bad: false },
    { label: "attempts denied", value: overview ? count(denied) : "–", href: `/denied${printView({ ...view, terms: [] })}`, bad: denied > 0 },
    { label: "agents seen", value: overview ? count(overview.agents.filter((agent) => parseTime(agent.lastSeen)).length) : "–", href: `/agents${printView({ ...view, terms: [] })}`, bad: false },
  ];
  return (
    <section class="panel numbers" aria-label="Now">
      {figures.map((figure) => (
        <a key={figure.label} href={figure.href} class={figure.bad ? "number bad" : "number"}>
          <b>{figure.value}</b>
          <span>{figure.label}</span>
        </a>
      ))}
    </section>
  );
}

function Top({ title, list, view, denied }: { title: string; list: TopEntry[] | undefined; view: View; denied: boolean }) {
  const value = (entry: TopEntry): number => (denied ? entry.denied : entry.bytes);
  const most = Math.max(1, ...(list ?? []).map(value));
  return (
    <section class="panel top-list" aria-label={title}>
      <header class="panel-head">
        <h2>{title}</h2>
        <a href={denied ? `/denied${printView({ ...view, terms: [] })}` : flowsLink([], view)}>All</a>
      </header>
      {list?.length === 0 && <Empty title={denied ? "Nothing was denied" : "No traffic"}>in this range</Empty>}
      <ol class="bars">
        {(list ?? []).slice(0, ROWS).map((entry) => (
          <li key={entry.key}>
            <a href={topLink("dst", entry.key, denied, view)}>
              <span class={denied ? "bar bad" : "bar"} style={{ width: `${Math.max(1, (100 * value(entry)) / most)}%` }} />
              <span class="bar-key">{entry.key}</span>
              <span class="bar-value">{denied ? `${count(entry.denied)}×` : bytes(entry.bytes)}</span>
            </a>
          </li>
        ))}
      </ol>
    </section>
  );
}

function Agents({ list, view, now }: { list: Agent[] | undefined; view: View; now: number }) {
  const sorted = [...(list ?? [])].sort((a, b) => (b.denied ?? 0) - (a.denied ?? 0) || a.name.localeCompare(b.name)).slice(0, ROWS);
  return (
    <section class="panel" aria-label="Agents">
      <header class="panel-head">
        <h2>Agents</h2>
        <a href={`/agents${printView({ ...view, terms: [] })}`}>All</a>
      </header>
      {list?.length === 0 && <Empty title="No agent yet">An agent appears with its first flow.</Empty>}
      <table class="plain">
        <tbody>
          {sorted.map((agent) => {
            const seen = parseTime(agent.lastSeen);
            return (
              <tr key={agent.name}>
                <td class="grow">
                  <span class={seen && now - seen < QUIET_SECONDS * 1000 ? "dot good" : "dot"} aria-hidden="true" />{" "}
                  <a href={topLink("agentName", agent.name, false, view)}>{agent.name}</a>
                </td>
                <td class="num">{agent.denied ? <a class="bad-text" href={`/denied${printView({ ...view, terms: [{ field: "agentName", value: agent.name, negate: false }] })}`}>{count(agent.denied)} denied</a> : ""}</td>
                <td class="num">{bytes(agent.bytes)}</td>
                <td class="num muted">
                  <Ago value={agent.lastSeen} now={now} />
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}
