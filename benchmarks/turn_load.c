/* The load of `benchmarks turn`: ChannelData (RFC 8656, section 12.4) through relays that are set up already.
 *
 *   turn_load relay SECONDS MBIT SIZE STREAM [CLIENT PEER CHANNEL]...   descriptors that it inherits
 *   turn_load junk SECONDS PER_SECOND SOCKET                            datagrams that mean nothing
 *
 * CLIENT is a socket to the TURN server (STREAM 1: TCP, 0: UDP), PEER a UDP socket connected to its relayed
 * address. Half of MBIT goes from clients to peers, half the other way, SIZE bytes a packet. Prints what was
 * sent and what arrived each way, in bytes of payload, one JSON object. Python could not keep up with this.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 32, LARGEST = 1472, TURN_HEADER = 4, STREAM_BUFFER = 1 << 16 };

struct end {
    int fd;
    int stream, client;           /* client: its packets have the header of ChannelData */
    unsigned char packet[LARGEST + 8];
    size_t length;                /* of the packet, header and padding included */
    size_t written;               /* of a packet that a stream took in part */
};

static unsigned char buffers[BATCH][2048];
static struct mmsghdr incoming[BATCH], outgoing[BATCH];
static struct iovec in_parts[BATCH], out_part;
static size_t size;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

/* Sends up to `count` packets; returns how many the kernel took. */
static size_t give(struct end *end, size_t count) {
    if (end->stream) {
        size_t done = 0;
        while (done < count) {
            ssize_t wrote = send(end->fd, end->packet + end->written, end->length - end->written, MSG_DONTWAIT);
            if (wrote < 0) {
                if (errno == EAGAIN) break;
                fail("send");
            }
            end->written += (size_t)wrote;
            if (end->written < end->length) break;
            end->written = 0;
            done++;
        }
        return done;
    }
    out_part.iov_base = end->packet;
    out_part.iov_len = end->length;
    if (count > BATCH) count = BATCH;
    int sent = sendmmsg(end->fd, outgoing, (unsigned)count, MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != ECONNREFUSED && errno != ENOBUFS) fail("sendmmsg");
    return sent < 0 ? 0 : (size_t)sent;
}

/* Takes all that has come; returns its payload in bytes. */
static uint64_t take(struct end *end) {
    uint64_t bytes = 0;
    if (end->stream) {
        static unsigned char stream[STREAM_BUFFER];
        for (;;) {
            ssize_t got = recv(end->fd, stream, sizeof stream, MSG_DONTWAIT);
            if (got <= 0) break;
            bytes += (uint64_t)got * size / end->length; /* all packets are alike */
        }
        return bytes;
    }
    for (;;) {
        int got = recvmmsg(end->fd, incoming, BATCH, MSG_DONTWAIT, NULL);
        if (got <= 0) break;
        for (int i = 0; i < got; i++) {
            size_t length = incoming[i].msg_len;
            if (length >= size) bytes += size;
        }
        if (got < BATCH) break;
    }
    return bytes;
}

static void relay(double seconds, double mbit, int stream, int count, char **fds) {
    struct end *clients = calloc((size_t)count, sizeof *clients), *peers = calloc((size_t)count, sizeof *peers);
    int poll = epoll_create1(0);
    for (int i = 0; i < count; i++) {
        struct end *client = &clients[i], *peer = &peers[i];
        unsigned channel = (unsigned)atoi(fds[3 * i + 2]);
        client->fd = atoi(fds[3 * i]);
        peer->fd = atoi(fds[3 * i + 1]);
        client->client = 1;
        client->stream = stream;
        client->packet[0] = (unsigned char)(channel >> 8);
        client->packet[1] = (unsigned char)channel;
        client->packet[2] = (unsigned char)(size >> 8);
        client->packet[3] = (unsigned char)size;
        client->length = TURN_HEADER + (stream ? (size + 3) / 4 * 4 : size);
        peer->length = size;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
        if (epoll_ctl(poll, EPOLL_CTL_ADD, client->fd, &event)) fail("epoll_ctl");
        event.data.ptr = peer;
        if (epoll_ctl(poll, EPOLL_CTL_ADD, peer->fd, &event)) fail("epoll_ctl");
    }
    double rate = mbit * 1e6 / 8 / 2 / (double)size; /* packets a second each way */
    uint64_t up = 0, down = 0, sent_up = 0, sent_down = 0;
    size_t next_up = 0, next_down = 0, burst = count > 1 ? 4 : BATCH;
    double start = now(), end = start + seconds, time;
    while ((time = now()) < end + 0.2) { /* what is on its way may still come */
        if (time < end) {
            uint64_t due = (uint64_t)((time - start) * rate);
            /* What the server did not take in time is not offered twice. */
            for (int tries = 0; sent_up < due && tries < count + BATCH; tries++, next_up++) {
                uint64_t want = due - sent_up;
                give(&clients[next_up % (size_t)count], want < burst ? want : burst);
                sent_up += want < burst ? want : burst;
            }
            for (int tries = 0; sent_down < due && tries < count + BATCH; tries++, next_down++) {
                uint64_t want = due - sent_down;
                give(&peers[next_down % (size_t)count], want < burst ? want : burst);
                sent_down += want < burst ? want : burst;
            }
        }
        struct epoll_event ready[64];
        struct timespec tick = {.tv_nsec = 500000};
        int many = epoll_pwait2(poll, ready, 64, &tick, NULL);
        for (int i = 0; i < many; i++) {
            struct end *from = ready[i].data.ptr;
            if (from->client) down += take(from);
            else up += take(from);
        }
    }
    printf("{\"sent\": [%llu, %llu], \"arrived\": [%llu, %llu]}\n", (unsigned long long)(sent_up * size),
           (unsigned long long)(sent_down * size), (unsigned long long)up, (unsigned long long)down);
}

static void junk(double seconds, double rate, int fd) {
    uint64_t sent = 0;
    double start = now(), end = start + seconds, time;
    unsigned char packet[64];
    while ((time = now()) < end) {
        for (uint64_t due = (uint64_t)((time - start) * rate); sent < due; sent++) {
            for (size_t i = 0; i < sizeof packet; i++) packet[i] = (unsigned char)random();
            send(fd, packet, 20 + (size_t)random() % 44, MSG_DONTWAIT);
        }
        usleep(200);
    }
    printf("{\"sent\": %llu}\n", (unsigned long long)sent);
}

int main(int argc, char **argv) {
    if (argc == 5 && !strcmp(argv[1], "junk")) {
        junk(atof(argv[2]), atof(argv[3]), atoi(argv[4]));
        return 0;
    }
    if (argc < 9 || (argc - 6) % 3 || strcmp(argv[1], "relay")) {
        fprintf(stderr, "see the head of turn_load.c\n");
        return 2;
    }
    size = (size_t)atoi(argv[4]);
    for (int i = 0; i < BATCH; i++) {
        in_parts[i].iov_base = buffers[i];
        in_parts[i].iov_len = sizeof buffers[i];
        incoming[i].msg_hdr.msg_iov = &in_parts[i];
        incoming[i].msg_hdr.msg_iovlen = 1;
        outgoing[i].msg_hdr.msg_iov = &out_part;
        outgoing[i].msg_hdr.msg_iovlen = 1;
    }
    relay(atof(argv[2]), atof(argv[3]), atoi(argv[5]), (argc - 6) / 3, argv + 6);
    return 0;
}
