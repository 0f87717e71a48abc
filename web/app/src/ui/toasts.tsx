import { CircleAlert, Info, X } from "lucide";
import { dismiss, notices, spoken } from "../state/notices.ts";
import { Icon } from "./icon.tsx";

/** What went wrong, in words; and the polite voice of confirmations, which is only heard. */
export function Toasts() {
  return (
    <>
      <div class="visually-hidden" role="status" aria-live="polite" data-testid="spoken">
        {spoken}
      </div>
      <div class="toasts">
        {notices.value.map(({ id, tone, title, detail }) => (
          <div
            key={id}
            class="toast"
            data-tone={tone}
            data-testid="toast"
            role={tone === "error" ? "alert" : "status"}
          >
            <Icon node={tone === "error" ? CircleAlert : Info} size={18} />
            <div class="toast-text">
              <strong>{title}</strong>
              {detail !== undefined && <span>{detail}</span>}
            </div>
            <button type="button" class="quiet" aria-label="Dismiss" onClick={() => dismiss(id)}>
              <Icon node={X} size={16} />
            </button>
          </div>
        ))}
      </div>
    </>
  );
}
