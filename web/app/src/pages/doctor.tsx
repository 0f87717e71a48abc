import type { Home } from "@plait/sdk";
import { ArrowLeft, CircleAlert, CircleCheck, CircleMinus, CircleX, type IconNode, RotateCw } from "lucide";
import { useEffect, useRef, useState } from "preact/hooks";
import { examine } from "../doctor/examine.ts";
import { type Finding, summary, type Verdict } from "../doctor/finding.ts";
import { Icon } from "../ui/icon.tsx";

const MARKS: Readonly<Record<Verdict, readonly [words: string, icon: IconNode]>> = {
  pass: ["Works", CircleCheck],
  warn: ["Works, with a disadvantage", CircleAlert],
  fail: ["Does not work", CircleX],
  skip: ["Not looked at", CircleMinus],
};

/** What works between this browser and the hub, and what to do where it does not. */
export function DoctorPage({ home }: { home: Home }) {
  const [groups, setGroups] = useState<readonly (readonly Finding[] | undefined)[]>([]);
  const run = useRef(0);
  const start = (): void => {
    run.current += 1;
    const mine = run.current;
    const pending = examine({ roundTrip: home.rtt });
    setGroups(pending.map(() => undefined));
    pending.forEach(async (group, index) => {
      const findings = await group;
      if (mine === run.current) {
        setGroups((known) => known.map((each, at) => (at === index ? findings : each)));
      }
    });
  };
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    // A screen reader and the keyboard begin at the new page's title.
    heading.current?.focus({ preventScroll: true });
    start();
    return () => {
      run.current += 1;
    };
  }, []);
  const findings = groups.flatMap((group) => group ?? []);
  const busy = groups.length === 0 || groups.some((group) => group === undefined);
  return (
    <main class="doctor" data-testid="doctor" data-state={busy ? "busy" : "done"}>
      <a class="back" href="#/">
        <Icon node={ArrowLeft} size={18} /> Home
      </a>
      <div class="page-head">
        <h1 ref={heading} tabIndex={-1}>
          Doctor
        </h1>
        <p class="muted" role="status" data-testid="doctor-summary">
          {busy ? "Examining…" : summary(findings)}
        </p>
      </div>
      <p class="doctor-lead">
        What works between this browser, the hub and other networks.{" "}
        <span class="muted">
          On a device or a PC, <code>plait doctor</code> says the same of it.
        </span>
      </p>
      <ul class="findings" aria-busy={busy}>
        {findings.map((finding) => (
          <Line key={finding.name + finding.said} {...finding} />
        ))}
        {busy && <li class="finding ghost" aria-hidden="true" />}
      </ul>
      <button type="button" class="button small" data-testid="again" disabled={busy} onClick={start}>
        <Icon node={RotateCw} size={15} />
        Examine again
      </button>
    </main>
  );
}

function Line({ name, verdict, said, advice }: Finding) {
  const [words, icon] = MARKS[verdict];
  return (
    <li class="finding" data-verdict={verdict} data-testid="finding" data-name={name}>
      <Icon node={icon} size={20} />
      <div class="finding-text">
        <h2>
          {name}
          <span class="visually-hidden">: {words}</span>
        </h2>
        <p>{said}</p>
        {advice !== undefined && <p class="finding-advice">{advice}</p>}
      </div>
    </li>
  );
}
