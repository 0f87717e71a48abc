import type { ControlProps } from "./control.tsx";

/** On or off, as the device says; while it is asked to change, the knob waits in between. */
export function Switch({ value, label, pending, why, onWrite }: ControlProps) {
  const known = typeof value === "boolean";
  return (
    <button
      type="button"
      class="switch"
      role="switch"
      aria-checked={value === true}
      aria-busy={pending !== undefined}
      aria-label={label}
      disabled={why !== undefined || !known}
      title={why}
      data-pending={pending !== undefined || undefined}
      onClick={() => onWrite(!value)}
    >
      <span class="knob" />
    </button>
  );
}
