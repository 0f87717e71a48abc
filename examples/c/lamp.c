/* A lamp for devices that have no room for Python: written from docs/protocol.md alone, on libwebsockets and cJSON.
   PLAIT_HUB=http://127.0.0.1:8080 PLAIT_TOKEN=$(plait hub token urn:dev:clamp) ./lamp urn:dev:clamp */
#define _GNU_SOURCE
#include <cjson/cJSON.h>
#include <libwebsockets.h>
#include <math.h>
#include <signal.h>
#include <time.h>

#define FORMS "\"forms\":[{\"href\":\"/ws\"}]"
enum { MOST_WAITING = 1000, MOST_BYTES = 65536, REMEMBERED = 64, REPORT_MS = 100 };
enum { ON, BRIGHTNESS, BLINKS, COUNT, NONE };
struct message { struct message *next; long seq; int once; char text[]; }; /* without its last brace */
static const char description[] =
    "\"@context\":\"https://www.w3.org/2022/wot/td/v1.1\",\"title\":\"Lamp in C\",\"security\":\"none\","
    "\"securityDefinitions\":{\"none\":{\"scheme\":\"nosec\"}},\"properties\":{"
    "\"on\":{\"type\":\"boolean\"," FORMS "},"
    "\"brightness\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":100," FORMS "},"
    "\"blinks\":{\"type\":\"integer\",\"readOnly\":true," FORMS "},"
    "\"count\":{\"type\":\"integer\",\"readOnly\":true," FORMS "}},"
    "\"actions\":{\"blink\":{\"output\":{\"type\":\"integer\"}," FORMS "}}";

static struct { const char *name; int value; } state[] = {{"on", 0}, {"brightness", 100}, {"blinks", 0}, {"count", 0}};
static struct message *kept, *beside; /* numbered, until acknowledged; without a number, until sent */
static struct { char id[80], result[80]; } done[REMEMBERED];
static char session[128], incoming[MOST_BYTES], host[128], header[512];
static long next_seq = 1, sent, received, told; /* ours, and what went out here; the hub's, and what it was told */
static int waiting, tries, port = 8080, tls, open_, stopped, actions;
static size_t filled;
static double ahead, failing_since; /* how far the hub's clock is ahead of ours; both in seconds */
static const char *thing;
static struct lws_context *context; static struct lws *ws; static lws_sorted_usec_list_t dialling, reporting;
static const lws_retry_bo_t liveness = {.secs_since_valid_ping = 10, .secs_since_valid_hangup = 20};
static double now(void) { struct timespec t; clock_gettime(CLOCK_REALTIME, &t); return t.tv_sec + t.tv_nsec / 1e9 + ahead; }
static const char *stamp(void) {
    static char text[48]; double at = now(); time_t whole = (time_t)at;
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", gmtime(&whole));
    return snprintf(text + n, sizeof text - n, ".%06dZ", (int)((at - whole) * 1e6)), text;
}
static double parse_time(const char *text) { /* RFC 3339 to seconds since 1970; NAN where it is none */
    struct tm tm = {0}; char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL; int hours, minutes;
    if (!rest) return NAN;
    double at = timegm(&tm) + (*rest == '.' ? strtod(rest, &rest) : 0);
    return *rest == 'Z' ? at : sscanf(rest + 1, "%2d:%2d", &hours, &minutes) < 2 ? NAN : at - (*rest == '-' ? -60 : 60) * (60 * hours + minutes);
}

static void add(struct message **list, struct message *m) { while (*list) list = &(*list)->next; *list = m; m->next = NULL; }
static void drop(struct message **at) { struct message *m = *at; waiting -= m->seq > 0; *at = m->next; free(m); }
static void put(int numbered, int once, const char *format, ...) { /* `once`: not sent again in another session */
    va_list v; va_start(v, format); int length = vsnprintf(NULL, 0, format, v); va_end(v);
    struct message *m = calloc(1, sizeof *m + length + 1); if (!m) abort();
    va_start(v, format); vsnprintf(m->text, length + 1, format, v); va_end(v);
    m->once = once; m->seq = numbered ? next_seq++ : 0; waiting += numbered;
    add(numbered ? &kept : &beside, m);
    if (ws) lws_callback_on_writable(ws);
}
static const char *reading(int which) { /* the two members of a reading */
    static char text[96]; int value = state[which].value;
    int n = snprintf(text, sizeof text, "\"timestamp\":\"%s\",\"value\":", stamp());
    return snprintf(text + n, sizeof text - n, which != ON ? "%d" : value ? "true" : "false", value), text;
}
static void report(int which, int value) {
    state[which].value = value;
    put(1, 0, "{\"messageType\":\"notification\",\"operation\":\"observeproperty\",\"name\":\"%s\",%s",
        state[which].name, reading(which));
}

static void tick(lws_sorted_usec_list_t *timer) { /* a reading; none where too much waits already, or the time is not known */
    if (*session && waiting < MOST_WAITING) report(COUNT, state[COUNT].value + 1);
    lws_sul_schedule(context, 0, timer, tick, REPORT_MS * LWS_US_PER_MS);
}
static void hello(void) {
    char resume[200]; snprintf(resume, sizeof resume, ",\"session\":\"%s\",\"ack\":%ld", session, received);
    put(0, 1, "{\"messageType\":\"request\",\"operation\":\"hello\",\"messageID\":\"hello\",\"input\":{\"protocol\":1,"
        "\"software\":\"clamp/1.0\"%s}", *session ? resume : "");
}
static void acknowledged(double ack) { while (kept && kept->seq <= ack) drop(&kept); }

static int welcome(const cJSON *m) { /* goes on, or begins anew; a close code where it can do neither */
    const cJSON *said = cJSON_GetObjectItem(m, "output");
    const char *id = cJSON_GetStringValue(cJSON_GetObjectItem(said, "session"));
    double time = parse_time(cJSON_GetStringValue(cJSON_GetObjectItem(said, "time")));
    double ack = cJSON_GetNumberValue(cJSON_GetObjectItem(said, "ack"));
    if (!id || strlen(id) >= sizeof session || isnan(time) || isnan(ack)) { stopped = 1; return 1000; }
    acknowledged(ack); ahead += time - now(); open_ = 1; tries = 0; failing_since = 0; told = received; sent = (long)ack;
    if (cJSON_IsTrue(cJSON_GetObjectItem(said, "resumed"))) return 0;
    struct message *old = kept, *other; kept = NULL; strcpy(session, id); sent = received = told = 0; next_seq = 1;
    put(1, 1, "{\"messageType\":\"request\",\"operation\":\"describething\",\"messageID\":\"describe\",\"value\":{\"id\":"
        "\"%s\",%s}", thing, description);
    while ((other = old)) if (other->once) drop(&old); else { old = old->next; other->seq = next_seq++; add(&kept, other); }
    for (int i = ON; i < COUNT; i++) report(i, state[i].value);
    return 0;
}

static const char *blink(const char *id) { /* done once for each id: asked again, the first result again */
    for (int i = 0; i < REMEMBERED; i++) if (!strcmp(done[i].id, id)) return done[i].result;
    int i = actions++ % REMEMBERED; report(BLINKS, state[BLINKS].value + 1); printf("blink %s\n", id);
    snprintf(done[i].id, sizeof done->id, "%s", id);
    return snprintf(done[i].result, sizeof done->result, "\"output\":%d", state[BLINKS].value), done[i].result;
}

static void answer(const cJSON *asked, const char *operation, const char *id) {
    const char *given = cJSON_GetStringValue(cJSON_GetObjectItem(asked, "name")), *name = given ? given : "", *wrong = NULL;
    const cJSON *value = cJSON_GetObjectItem(asked, "value"); const char *result = NULL; char error[128]; int which = ON;
    int ping = !strcmp(operation, "ping"), write = !strcmp(operation, "writeproperty"), act = !strcmp(operation, "invokeaction");
    while (which < NONE && strcmp(state[which].name, name)) which++;
    if (parse_time(cJSON_GetStringValue(cJSON_GetObjectItem(asked, "deadline"))) < now()) wrong = "expired\",\"status\":410";
    else if (ping) result = reading(ON);
    else if (!write && !act && strcmp(operation, "readproperty")) wrong = "unknown-operation\",\"status\":400";
    else if (act ? strcmp(name, "blink") : which == NONE) wrong = "unknown-affordance\",\"status\":404";
    else if (act) result = blink(id);
    else if (write && which > BRIGHTNESS) wrong = "read-only\",\"status\":405";
    else if (write && !(which == ON ? cJSON_IsBool(value) : cJSON_IsNumber(value))) wrong = "invalid-value\",\"status\":422";
    else if (write) report(which, which == ON ? cJSON_IsTrue(value) : value->valueint);
    snprintf(error, sizeof error, "\"error\":{\"type\":\"urn:plait:problem:%s,\"title\":\"Not done\"}", wrong ? wrong : "");
    put(!ping, 1, "{\"messageType\":\"response\",\"operation\":\"%s\",\"correlationID\":\"%s\",%s", operation, id,
        wrong ? error : result ? result : reading(which));
}

static int take(const cJSON *m) { /* one message of the hub; a close code, or 0 */
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItem(m, "messageType"));
    const char *operation = cJSON_GetStringValue(cJSON_GetObjectItem(m, "operation"));
    const char *id = cJSON_GetStringValue(cJSON_GetObjectItem(m, "messageID"));
    double seq = cJSON_GetNumberValue(cJSON_GetObjectItem(m, "seq")), ack = cJSON_GetNumberValue(cJSON_GetObjectItem(m, "ack"));
    if (cJSON_GetObjectItem(m, "error")) lwsl_err("the hub says %s\n", incoming);
    if (!type || !operation || !open_) return !open_ && operation && !strcmp(operation, "hello") ? welcome(m) : 0;
    if (!isnan(ack)) acknowledged(ack);
    if (seq > received + 1 || seq <= received) return seq > received ? 4002 : 0; /* neither holds without seq: NAN */
    if (seq > received) received = (long)seq;
    if (!strcmp(type, "request") && id && !strpbrk(id, "\"\\")) answer(m, operation, id);
    return 0;
}

static int send_next(void) { /* one frame for each call, as libwebsockets wants it */
    struct message *m = beside;
    if (!m && open_) for (m = kept; m && m->seq <= sent; m = m->next);
    if (!m && (!open_ || told >= received)) return 0;
    static char frame[LWS_PRE + 4096]; char *text = frame + LWS_PRE; /* ours are all shorter */
    size_t n = sprintf(text, "%s", m ? m->text : "{\"messageType\":\"notification\",\"operation\":\"ack\"");
    if (m && m->seq) n += sprintf(text + n, ",\"seq\":%ld", m->seq);
    if (open_ && told < received) n += sprintf(text + n, ",\"ack\":%ld", told = received);
    n += sprintf(text + n, "}");
    int written = lws_write(ws, (unsigned char *)text, n, LWS_WRITE_TEXT);
    if (m && m->seq) sent = m->seq; else if (m) drop(&beside);
    return written < 0 ? -1 : lws_callback_on_writable(ws) < 0;
}
static void dial(lws_sorted_usec_list_t *timer) {
    struct lws_client_connect_info to = {.context = context, .address = host, .host = host, .port = port, .path = "/ws",
        .protocol = "plait.v1.json", .pwsi = &ws, .ssl_connection = tls ? LCCSCF_USE_SSL : 0, .retry_and_idle_policy = &liveness};
    (void)timer; lws_client_connect_via_info(&to); /* a failure is told by a callback too */
}
static void broken(void) {
    double most = fmin(2, 0.2 * pow(2, tries++));
    if (!failing_since) failing_since = now() - ahead; else if (now() - ahead - failing_since > 60) most = 30;
    for (open_ = 0, ws = NULL, filled = 0; beside;) drop(&beside);
    if (!stopped) lws_sul_schedule(context, 0, &dialling, dial, (lws_usec_t)(drand48() * most * LWS_US_PER_SEC) + 1);
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t n) {
    unsigned char **at = in, *bytes = in; int code = 0; cJSON *m; (void)user;
    switch ((int)reason) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
        return lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, (unsigned char *)header, strlen(header), at, *at + n);
    case LWS_CALLBACK_CLIENT_ESTABLISHED: hello(); break;
    case LWS_CALLBACK_CLIENT_WRITEABLE: return send_next();
    case LWS_CALLBACK_CLIENT_RECEIVE:
        if (filled + n >= MOST_BYTES) { lws_close_reason(wsi, 1009, NULL, 0); return -1; }
        memcpy(incoming + filled, in, n); incoming[filled += n] = 0;
        if (!lws_is_final_fragment(wsi) || lws_remaining_packet_payload(wsi)) break;
        m = cJSON_ParseWithLength(incoming, filled); filled = 0;
        if (m && (code = take(m))) lws_close_reason(wsi, code, NULL, 0);
        cJSON_Delete(m); lws_callback_on_writable(wsi); return code ? -1 : 0;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        code = n < 2 ? 0 : bytes[0] << 8 | bytes[1];
        if (code == 1008 || code == 4001) { stopped = 1; lwsl_err("the hub closed with %d\n", code); }
        break;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        code = lws_http_client_http_response(wsi);
        if (code == 401 || code == 403) { stopped = 1; lwsl_err("the hub refused with %d\n", code); } /* fall through */
    case LWS_CALLBACK_CLIENT_CLOSED: broken(); break;
    }
    return 0;
}
static void end(int signal_) { (void)signal_; stopped = 1; lws_cancel_service(context); }

int main(int argc, char **argv) {
    const struct lws_protocols protocols[] = {{"plait.v1.json", on_event, 0, 4096, 0, NULL, 0}, {NULL, NULL, 0, 0, 0, NULL, 0}};
    struct lws_context_creation_info info = {.port = CONTEXT_PORT_NO_LISTEN, .protocols = protocols, .fd_limit_per_thread = 8};
    const char *hub = getenv("PLAIT_HUB"), *token = getenv("PLAIT_TOKEN"); char scheme[8];
    if (argc != 2 || !token || sscanf(hub ? hub : "http://127.0.0.1", "%7[a-z]://%127[^:/]:%d", scheme, host, &port) < 2)
        return fprintf(stderr, "usage: PLAIT_HUB=http://HOST:PORT PLAIT_TOKEN=TOKEN %s URN\n", argv[0]), 2;
    thing = argv[1]; tls = !strcmp(scheme, "https"); srand48(time(NULL) ^ getpid());
    snprintf(header, sizeof header, "Bearer %s", token); setvbuf(stdout, NULL, _IOLBF, 0);
    info.options = tls ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0; lws_set_log_level(LLL_ERR, NULL);
    if (!(context = lws_create_context(&info))) return 1;
    signal(SIGTERM, end); signal(SIGINT, end); dial(NULL); tick(&reporting);
    while (!stopped && lws_service(context, 0) >= 0);
    stopped = 1; lws_context_destroy(context); acknowledged(INFINITY);
    return 0;
}
