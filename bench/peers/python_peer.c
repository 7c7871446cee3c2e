#define _GNU_SOURCE
#include "peers/python_peer.h"

#include <math.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "measure.h"
#include "pool.h"

extern char **environ;

enum { LINE = 2048, MOST_OPEN = 4096 };

static struct {
    bool tried, here;
    int socket;
    pid_t pid;
    char text[PEER_TEXT];
    unsigned char buffer[1 << 16]; /* received, not yet read: from next to received */
    size_t next, received;
    unsigned char threads[MOST_OPEN]; /* of computation id; 255: 255 or more */
} python;

static void die(const char *what, const char *detail)
{
    fprintf(stderr, "iolaus_bench: the Python peers: %s%s\n", what, detail);
    exit(2);
}

static void send_all(const void *data, size_t bytes)
{
    const char *at = data;
    while (bytes) {
        ssize_t sent = send(python.socket, at, bytes, MSG_NOSIGNAL);
        if (sent <= 0) {
            die("the process is gone", "");
        }
        at += sent;
        bytes -= (size_t)sent;
    }
}

/* One byte, of what has been received or is waited for. -1: the process is gone. */
static int receive_byte(void)
{
    if (python.next == python.received) {
        ssize_t got = recv(python.socket, python.buffer, sizeof python.buffer, 0);
        python.next = 0;
        python.received = got > 0 ? (size_t)got : 0;
    }
    return python.next < python.received ? python.buffer[python.next++] : -1;
}

static void receive_all(void *data, size_t bytes)
{
    unsigned char *at = data;
    for (size_t i = 0; i < bytes; i++) {
        int byte = receive_byte();
        if (byte < 0) {
            die("the process is gone", "");
        }
        at[i] = (unsigned char)byte;
    }
}

/* One line without its end into `line`; what does not fit is cut off. False: the process is gone.
 */
static bool receive_line(char line[LINE])
{
    size_t used = 0;
    int byte = receive_byte();
    for (; byte >= 0 && byte != '\n'; byte = receive_byte()) {
        line[used] = (char)byte;
        used += used < LINE - 1;
    }
    line[used] = '\0';
    return byte >= 0;
}

/* True: the answer began with "ok", and `line` is what follows; false: the reason after "error". */
static bool receive(char line[LINE])
{
    if (!receive_line(line)) {
        die("the process is gone", "");
    }
    bool ok = strncmp(line, "ok ", 3) == 0;
    const char *rest = strchr(line, ' ');
    if (!rest || (!ok && strncmp(line, "error ", 6) != 0)) {
        die("an answer is neither ok nor error: ", line);
    }
    memmove(line, rest + 1, strlen(rest));
    return ok;
}

/* IOL_PYTHON running python_peers.py with one end of a socket as its input and output. */
static bool start(void)
{
    const char *interpreter = getenv("IOL_PYTHON");
    char name[PEER_TEXT / 2], threads[24], script[] = IOL_SOURCE_DIR "/bench/peers/python_peers.py",
                                           option[] = "--threads";
    snprintf(name, sizeof name, "%s", interpreter && *interpreter ? interpreter : "python3");
    snprintf(threads, sizeof threads, "%zu", bench_machine()->threads);
    char *const arguments[] = {name, script, option, threads, NULL};
    int ends[2];
    posix_spawn_file_actions_t actions;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0 ||
        posix_spawn_file_actions_init(&actions) != 0) {
        die("no socket", "");
    }
    int failed = posix_spawn_file_actions_adddup2(&actions, ends[1], STDIN_FILENO) ||
                 posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO) ||
                 posix_spawnp(&python.pid, name, &actions, NULL, arguments, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(ends[1]);
    python.socket = ends[0];
    if (failed) {
        (void)close(ends[0]);
        snprintf(python.text, sizeof python.text, "%s cannot be started (IOL_PYTHON)", name);
        return false;
    }
    char line[LINE] = "";
    bool ok = receive_line(line) && strncmp(line, "ok ", 3) == 0;
    const char *rest = strncmp(line, "error ", 6) == 0 ? line + 6 : "ended at once";
    if (ok) {
        snprintf(python.text, sizeof python.text, "%.*s", PEER_TEXT - 1, line + 3);
    } else {
        snprintf(python.text, sizeof python.text, "%.300s (IOL_PYTHON: %.180s)", rest, name);
    }
    return ok;
}

bool python_here(const char **out_text)
{
    if (!python.tried) {
        python.tried = true;
#if defined(__x86_64__)
        if (bench_machine()->isa == IOLK_ISA_AVX2) {
            peer_setting("ATEN_CPU_CAPABILITY", "avx2");
            peer_setting("MKL_ENABLE_INSTRUCTIONS", "AVX2");
            peer_setting("ONEDNN_MAX_CPU_ISA", "AVX2");
        }
#endif
        /* Outputs that are given back to the system would be faulted in again by every call. */
        peer_setting("MALLOC_MMAP_MAX_", "0");
        peer_setting("MALLOC_TRIM_THRESHOLD_", "8589934592");
        peer_setting("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"); /* pages of 2 MiB, as ours */
        python.here = start();
        printf("%s python: %s\n", python.here ? "peers in" : "skipped peers in", python.text);
        fflush(stdout);
    }
    *out_text = python.text;
    return python.here;
}

size_t python_open(char text[PEER_TEXT], size_t threads, const char *format, ...)
{
    const char *reason;
    char line[LINE], parameters[LINE / 2];
    if (!python_here(&reason)) {
        snprintf(text, PEER_TEXT, "%s", reason);
        return 0;
    }
    va_list values;
    va_start(values, format);
    vsnprintf(parameters, sizeof parameters, format, values);
    va_end(values);
    const size_t kind = strcspn(parameters, " ");
    int length = snprintf(line, sizeof line, "open %.*s threads=%zu%s\n", (int)kind, parameters,
                          threads, parameters + kind);
    if (threads > 1) {
        bench_settle();
    }
    send_all(line, (size_t)length);
    bool ok = receive(line);
    size_t id = ok ? strtoul(line, NULL, 10) : 0;
    if (id >= MOST_OPEN) {
        die("too many computations opened", "");
    }
    snprintf(text, PEER_TEXT, "%.*s", PEER_TEXT - 1, ok ? line + strcspn(line, " ") + 1 : line);
    python.threads[id] = (unsigned char)(threads < 255 ? threads : 255);
    return id;
}

bool python_output(size_t id, float *out, size_t count, char text[PEER_TEXT])
{
    char line[LINE];
    int length = snprintf(line, sizeof line, "output %zu\n", id);
    send_all(line, (size_t)length);
    if (!receive(line)) {
        snprintf(text, PEER_TEXT, "%.*s", PEER_TEXT - 1, line);
        return false;
    }
    const size_t found = strtoul(line, NULL, 10);
    if (found != count) {
        float dropped;
        for (size_t i = 0; i < found; i++) {
            receive_all(&dropped, sizeof dropped);
        }
        snprintf(text, PEER_TEXT, "%zu values, not %zu", found, count);
        return false;
    }
    receive_all(out, count * sizeof *out);
    return true;
}

bool python_check(size_t id, const float *ours, size_t count, double *out_difference,
                  double *out_spread, char text[PEER_TEXT])
{
    float *theirs = bench_floats(count);
    bool ok = python_output(id, theirs, count, text);
    double sum = 0, squares = 0, worst = 0;
    for (size_t i = 0; ok && i < count; i++) {
        double x = (double)theirs[i], difference = fabs(x - (double)ours[i]);
        sum += x;
        squares += x * x;
        worst = difference <= worst ? worst : difference; /* keeps NaN */
    }
    free(theirs);
    const double mean = sum / (double)count;
    *out_difference = worst;
    *out_spread = sqrt(squares / (double)count - mean * mean);
    return ok;
}

double python_turn(size_t id, size_t calls)
{
    char line[LINE];
    if (python.threads[id] > 1) {
        bench_settle();
    }
    int length = snprintf(line, sizeof line, "turn %zu %zu\n", id, calls);
    send_all(line, (size_t)length);
    if (!receive(line)) {
        die("a turn failed: ", line);
    }
    return strtod(line, NULL);
}

void python_close(size_t id)
{
    char line[LINE];
    if (!id) {
        return;
    }
    int length = snprintf(line, sizeof line, "close %zu\n", id);
    send_all(line, (size_t)length);
    if (!receive(line)) {
        die("closing failed: ", line);
    }
}

bool python_make_shape(const char *shape, const char *folder, char text[PEER_TEXT])
{
    const char *reason;
    char line[LINE];
    if (!python_here(&reason)) {
        snprintf(text, PEER_TEXT, "%s", reason);
        return false;
    }
    int length = snprintf(line, sizeof line, "make %s %s\n", shape, folder);
    if (length < 0 || (size_t)length >= sizeof line) {
        snprintf(text, PEER_TEXT, "the name of the folder is too long");
        return false;
    }
    send_all(line, (size_t)length);
    bool ok = receive(line);
    snprintf(text, PEER_TEXT, "%.*s", PEER_TEXT - 1, line);
    return ok;
}

double python_seconds(void)
{
    clockid_t clock;
    struct timespec used;
    if (!python.pid || clock_getcpuclockid(python.pid, &clock) != 0 ||
        clock_gettime(clock, &used) != 0) {
        return 0;
    }
    return (double)used.tv_sec + 1e-9 * (double)used.tv_nsec;
}
