import { filesOf, type Thing } from "@plait/sdk";
import { ArrowDownToLine, ArrowUpFromLine, Download, Upload, X } from "lucide";
import { useEffect, useRef, useState } from "preact/hooks";
import { whyNotSet } from "../model/reach.ts";
import { signalOf } from "../state/bridge.ts";
import { waysTo } from "../state/reach.ts";
import { Icon } from "../ui/icon.tsx";
import { type Exchange, exchangeOf } from "./exchange.ts";
import type { Transfer } from "./transfer.ts";
import "../styles/files.css";

/** Files to a thing and from it. */
export function FilesCard({ thing }: { thing: Thing }) {
  const exchange = exchangeOf(thing);
  const { takes, gives } = filesOf(signalOf(thing.description).value);
  useEffect(() => exchange.use(), [exchange]);
  const transfers = exchange.transfers.value;
  const problem = exchange.problem.value;
  return (
    <section class="card files" aria-labelledby="files" data-testid="files">
      <h2 id="files">Files</h2>
      {problem !== undefined && (
        <p class="files-problem" role="alert">
          {problem.title}: {problem.message}
        </p>
      )}
      {takes && <Drop thing={thing} exchange={exchange} />}
      {transfers.length > 0 && (
        <ul class="transfers" aria-label="Files on their way">
          {transfers.map((transfer) => (
            <Row key={transfer.id} exchange={exchange} transfer={transfer} />
          ))}
        </ul>
      )}
      {gives && (
        <p class="muted">What {thing.title} sends while this page is open is kept here until it is saved.</p>
      )}
    </section>
  );
}

/** Where files are dropped, or chosen. */
function Drop({ thing, exchange }: { thing: Thing; exchange: Exchange }) {
  const [over, setOver] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const why = whyNotSet(waysTo(thing));
  return (
    <label
      class="drop"
      data-over={over || undefined}
      data-off={why !== undefined || undefined}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        exchange.send(event.dataTransfer?.files ?? []);
      }}
    >
      <input
        ref={input}
        type="file"
        multiple
        class="visually-hidden"
        aria-label={`Send files to ${thing.title}`}
        onChange={() => {
          const element = input.current;
          if (element !== null) {
            exchange.send(element.files ?? []);
            // The same file may be chosen again.
            element.value = "";
          }
        }}
      />
      <Icon node={Upload} size={20} />
      <span>
        <strong>Choose files</strong> <span class="drop-hint">or drop them here</span>
      </span>
      {why !== undefined && <span class="muted">{why} They go as soon as it can be reached.</span>}
    </label>
  );
}

function Row({ exchange, transfer }: { exchange: Exchange; transfer: Transfer }) {
  const { name, size, direction } = transfer;
  const phase = transfer.phase.value;
  const { active } = transfer;
  const done = transfer.done.value;
  return (
    <li class="transfer" data-testid="transfer" data-phase={phase.kind} data-direction={direction}>
      <span class="transfer-icon">
        <Icon node={direction === "out" ? ArrowUpFromLine : ArrowDownToLine} size={16} />
      </span>
      <span class="transfer-name" title={name}>
        {name}
      </span>
      <span class="transfer-buttons">
        {phase.kind === "done" && phase.file !== undefined && <Save file={phase.file} />}
        <button
          type="button"
          class="quiet"
          aria-label={active ? `Cancel ${name}` : `Remove ${name} from the list`}
          title={active ? "Cancel" : "Remove from the list"}
          onClick={() => (active ? transfer.cancel() : exchange.dismiss(transfer))}
        >
          <Icon node={X} size={16} />
        </button>
      </span>
      {active && (
        <progress
          class="transfer-bar"
          aria-label={`${direction === "out" ? "Sending" : "Receiving"} ${name}`}
          {...(phase.kind === "queued" || phase.kind === "measuring"
            ? {}
            : { value: size === 0 ? 1 : done, max: Math.max(1, size) })}
        />
      )}
      <span class="transfer-words" data-testid="transfer-words">
        {transfer.words()}
      </span>
    </li>
  );
}

function Save({ file }: { file: File }) {
  const [url, setUrl] = useState("");
  useEffect(() => {
    const made = URL.createObjectURL(file);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [file]);
  return (
    <a class="button small" href={url} download={file.name} aria-label={`Save ${file.name}`}>
      <Icon node={Download} size={15} /> Save
    </a>
  );
}
