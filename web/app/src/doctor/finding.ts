/** What an examination found: one line, as `plait doctor` prints it (src/plait/doctor/finding.py). */

export type Verdict = "pass" | "warn" | "fail" | "skip";

export interface Finding {
  readonly name: string;
  readonly verdict: Verdict;
  /** What was found, in words. */
  readonly said: string;
  /** What to do about it; always there where the verdict is `fail`. */
  readonly advice?: string;
}

export const passed = (name: string, said: string): Finding => ({ name, verdict: "pass", said });

export const warned = (name: string, said: string, advice: string): Finding => ({
  name,
  verdict: "warn",
  said,
  advice,
});

export const failed = (name: string, said: string, advice: string): Finding => ({
  name,
  verdict: "fail",
  said,
  advice,
});

export const skipped = (name: string, said: string): Finding => ({ name, verdict: "skip", said });

/** The whole examination in one sentence. */
export function summary(findings: readonly Finding[]): string {
  const count = (verdict: Verdict): number => findings.filter((each) => each.verdict === verdict).length;
  const [failures, warnings] = [count("fail"), count("warn")];
  if (failures > 0) {
    return failures === 1 ? "One thing does not work" : `${failures} things do not work`;
  }
  if (warnings > 0) {
    return warnings === 1 ? "All works, with one disadvantage" : `All works, with ${warnings} disadvantages`;
  }
  return "All is well";
}
