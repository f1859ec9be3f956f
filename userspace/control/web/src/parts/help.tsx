import { Dialog } from "./dialog.tsx";

const KEYS: [string, string][] = [
  ["/", "to the filter"],
  ["j  k", "next and previous row"],
  ["Enter", "details of the row"],
  ["Esc", "close, leave the filter"],
  ["p", "pause and go on (Live)"],
  ["r", "load again"],
  ["g o", "Overview"],
  ["g f", "Flows"],
  ["g l", "Live"],
  ["g d", "Denied"],
  ["g a", "Agents"],
  ["g i", "Integrity"],
  ["?", "this list"],
];

export function Help({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keyboard" onClose={onClose}>
      <dl class="keys">
        {KEYS.map(([key, text]) => (
          <div key={key}>
            <dt>
              {key.split(/\s+/).map((part) => (
                <kbd key={part}>{part}</kbd>
              ))}
            </dt>
            <dd>{text}</dd>
          </div>
        ))}
      </dl>
      <p class="muted">
        A filter is typed as <code>field:value</code>, such as <code>verdict:drop</code> or <code>!port:443</code>. A bare value finds its
        field by itself: an address is a destination, a number a port.
      </p>
    </Dialog>
  );
}
