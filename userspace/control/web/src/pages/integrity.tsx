// Is the record complete and unchanged: what each node wrote, what came, what is missing and who says why.
import type { ComponentChildren } from "preact";
import type { PageProps } from "../app.tsx";
import { get } from "../api.ts";
import { useKeys, useLoad, useNow } from "../hooks.ts";
import { judgeAll } from "../lib/completeness.ts";
import { count, plural } from "../lib/format.ts";
import type { Digest, Gap, Reject, Source } from "../lib/types.ts";
import { Banner, Failed } from "../parts/states.tsx";
import { Ago, CopyButton, Time } from "../parts/values.tsx";

const REFRESH_MS = 15_000;
const LIMIT = 200;

interface All {
  sources: Source[];
  gaps: Gap[];
  digests: Digest[];
  rejects: Reject[];
}

async function load(signal: AbortSignal): Promise<All> {
  const list = async <T,>(path: string): Promise<T[]> => (await get<{ list: T[] | null }>(`/api/v1/audit/${path}`, signal)).list ?? [];
  const [sources, gaps, digests, rejects] = await Promise.all([
    list<Source>("sources"),
    list<Gap>(`gaps?limit=${LIMIT}`),
    list<Digest>(`digests?limit=${LIMIT}`),
    list<Reject>(`rejects?limit=${LIMIT}`),
  ]);
  return { sources, gaps, digests, rejects };
}

export function IntegrityPage(_: PageProps) {
  const now = useNow();
  const all = useLoad("", load, REFRESH_MS);
  useKeys({ r: all.reload });
  const data = all.data;
  return (
    <>
      <div class="page-head">
        <h1>Integrity</h1>
      </div>
      {all.error && <Failed error={all.error} retry={all.reload} />}
      {data ? <Banner judgement={judgeAll(data.sources, data.gaps, data.digests, data.rejects)} /> : <div class="banner placeholder" />}
      {data && (
        <>
          <Sources list={data.sources} now={now} />
          <Gaps list={data.gaps} now={now} />
          <Digests list={data.digests} now={now} />
          <Rejects list={data.rejects} now={now} />
        </>
      )}
    </>
  );
}

function Section({ title, about, empty, rows, children }: { title: string; about: string; empty: string; rows: number; children: ComponentChildren }) {
  return (
    <section class="panel section" aria-label={title}>
      <header class="panel-head">
        <h2>{title}</h2>
        <span class="muted">{rows === 0 ? empty : about}</span>
      </header>
      {rows > 0 && children}
    </section>
  );
}

const short = (text: string): string => (text.length > 12 ? `${text.slice(0, 12)}…` : text);

function Sources({ list, now }: { list: Source[]; now: number }) {
  return (
    <Section title="Sources" about={`${plural(list.length, "boot")} of a node, each numbers its records from 1`} empty="No node has reported yet." rows={list.length}>
      <table class="cards" aria-label="Sources">
        <thead>
          <tr>
            <th>Node</th>
            <th>Boot</th>
            <th>Agent</th>
            <th class="num">Numbers</th>
            <th class="num">Stored</th>
            <th class="num">Missing</th>
            <th class="num">Lost</th>
            <th>Head of its file</th>
            <th>Last came</th>
          </tr>
        </thead>
        <tbody>
          {list.map((source) => (
            <tr key={`${source.node}/${source.boot}`} class="row">
              <td data-label="Node">
                <b>{source.node}</b>
              </td>
              <td data-label="Boot" title={source.boot} class="mono">
                {short(source.boot)}
              </td>
              <td data-label="Agent">{source.agentId}</td>
              <td data-label="Numbers" class="num">
                {count(source.firstSeq)} – {count(source.lastSeq)}
              </td>
              <td data-label="Stored" class="num">
                {count(source.stored)}
              </td>
              <td data-label="Missing" class={source.missing ? "num bad-text" : "num"}>
                {count(source.missing)}
              </td>
              <td data-label="Lost" class={source.lost ? "num warn-text" : "num"}>
                {count(source.lost)}
              </td>
              <td data-label="Head">
                <Head source={source} />
              </td>
              <td data-label="Last came">
                <Ago value={source.lastSeen} now={now} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Section>
  );
}

function Head({ source }: { source: Source }) {
  if (!source.head) return <span class="muted">not told yet</span>;
  const behind = source.head.seq - source.lastSeq;
  return (
    <span title={source.head.h}>
      {count(source.head.seq)} <code>{short(source.head.h)}</code>{" "}
      {behind > 0 && <span class="warn-text">{plural(behind, "record")} still to come</span>}
    </span>
  );
}

function Gaps({ list, now }: { list: Gap[]; now: number }) {
  return (
    <Section title="Gaps" about="Numbers that never came" empty="None: every number came." rows={list.length}>
      <table class="cards" aria-label="Gaps">
        <thead>
          <tr>
            <th>Node</th>
            <th>Boot</th>
            <th class="num">Numbers</th>
            <th class="num">Records</th>
            <th>Found</th>
            <th>Explanation</th>
          </tr>
        </thead>
        <tbody>
          {list.map((gap) => (
            <tr key={`${gap.node}/${gap.boot}/${gap.firstSeq}`} class="row">
              <td data-label="Node">
                <b>{gap.node}</b>
              </td>
              <td data-label="Boot" title={gap.boot} class="mono">
                {short(gap.boot)}
              </td>
              <td data-label="Numbers" class="num">
                {count(gap.firstSeq)} – {count(gap.lastSeq)}
              </td>
              <td data-label="Records" class="num">
                {count(gap.lastSeq - gap.firstSeq + 1)}
              </td>
              <td data-label="Found">
                <Ago value={gap.found} now={now} />
              </td>
              <td data-label="Explanation">
                {gap.explainedBy ? (
                  <>
                    <span class="tag warn">explained</span> <code class="wrap">{gap.explainedBy}</code>
                  </>
                ) : (
                  <>
                    <span class="tag bad">unexplained</span> <span class="muted">no loss event names these numbers</span>
                  </>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Section>
  );
}

function signatureState(digest: Digest): { text: string; level: string } {
  if (!digest.signature) return { text: "not signed", level: "warn" };
  return digest.signatureValid ? { text: "holds", level: "good" } : { text: "does not hold", level: "bad" };
}

function Digests({ list, now }: { list: Digest[]; now: number }) {
  return (
    <Section title="Digests" about="Of closed audit files; cutting or changing one on the node shows against these" empty="No audit file was closed yet." rows={list.length}>
      <table class="cards" aria-label="Digests">
        <thead>
          <tr>
            <th>Node</th>
            <th>Boot</th>
            <th class="num">Up to</th>
            <th>Hash of the last line</th>
            <th>Closed</th>
            <th>Signature</th>
            <th />
          </tr>
        </thead>
        <tbody>
          {list.map((digest) => {
            const signature = signatureState(digest);
            return (
              <tr key={`${digest.node}/${digest.boot}/${digest.seq}`} class="row">
                <td data-label="Node">
                  <b>{digest.node}</b>
                </td>
                <td data-label="Boot" title={digest.boot} class="mono">
                  {short(digest.boot)}
                </td>
                <td data-label="Up to" class="num">
                  {count(digest.seq)}
                </td>
                <td data-label="Hash" title={digest.h}>
                  <code>{short(digest.h)}</code>
                </td>
                <td data-label="Closed">
                  <Time value={digest.ts} now={now} />
                </td>
                <td data-label="Signature">
                  <span class={`tag ${signature.level}`}>{signature.text}</span>
                </td>
                <td class="actions">{digest.digest && <CopyButton text={digest.digest} what="the digest" />}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </Section>
  );
}

function Rejects({ list, now }: { list: Reject[]; now: number }) {
  return (
    <Section title="Rejected messages" about="Kept as they came; they are no records" empty="None." rows={list.length}>
      <table class="cards" aria-label="Rejected messages">
        <thead>
          <tr>
            <th>When</th>
            <th>Reason</th>
            <th>Detail</th>
            <th>Subject</th>
            <th>Message</th>
          </tr>
        </thead>
        <tbody>
          {list.map((reject) => (
            <tr key={`${reject.streamSeq}/${reject.ts}`} class="row">
              <td data-label="When">
                <Time value={reject.ts} now={now} />
              </td>
              <td data-label="Reason">
                <span class="tag bad">{reject.reason}</span>
              </td>
              <td data-label="Detail">{reject.detail}</td>
              <td data-label="Subject" class="mono">
                {reject.subject}
              </td>
              <td data-label="Message">
                <details>
                  <summary>{reject.payload?.slice(0, 40) || "empty"}</summary>
                  <pre>{reject.payload}</pre>
                </details>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Section>
  );
}
