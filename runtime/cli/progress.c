#define _GNU_SOURCE
#include "progress.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "report_line.h"

static volatile sig_atomic_t stop_asked, on_terminal;

static void on_signal(int number)
{
    if (stop_asked) {
        signal(number, SIG_DFL);
        raise(number);
    }
    stop_asked = 1;
    /* After a line of progress comes a new line. */
    static const char text[] = "\niolaus: stopping after this wave; again to stop at once\n";
    size_t skip = on_terminal ? 0 : 1;
    ssize_t ignored = write(STDERR_FILENO, text + skip, sizeof text - 1 - skip);
    (void)ignored;
}

static void catch_signal(int number)
{
    struct sigaction old, action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    if (sigaction(number, NULL, &old) == 0 && old.sa_handler != SIG_IGN) {
        sigaction(number, &action, NULL);
    }
}

void cli_progress_open(struct cli_progress *progress, bool quiet)
{
    *progress = (struct cli_progress){.quiet = quiet, .tty = isatty(STDERR_FILENO) == 1};
    on_terminal = progress->tty;
    catch_signal(SIGINT);
    catch_signal(SIGTERM);
}

/* Rate and time to go since the phase's first call, so that resumed prompts do not flatter them. */
static void print_line(const struct cli_progress *progress, const struct iol_progress *now)
{
    double seconds = now->seconds - progress->base_seconds;
    double done = (double)now->done - (double)progress->base_done;
    double flops = now->flops_done - progress->base_flops;
    char line[160];
    int used =
        snprintf(line, sizeof line, "%-10s %zu/%zu prompts", now->phase, now->done, now->total);
    if (seconds > 0 && done > 0 && used > 0 && (size_t)used < sizeof line) {
        double to_go = ((double)now->total - (double)now->done) / done * seconds;
        snprintf(line + used, sizeof line - (size_t)used, "  %.1f/s  %s/s  ETA %s", done / seconds,
                 cli_flops(flops / seconds).text, cli_seconds(to_go).text);
    }
    if (progress->tty) {
        fprintf(stderr, "\r\033[K%.79s", line);
    } else {
        fprintf(stderr, "%s\n", line);
    }
    fflush(stderr);
}

bool cli_progress_step(const struct iol_progress *now, void *user)
{
    struct cli_progress *progress = user;
    const double every = progress->tty ? 0.1 : 10; /* seconds between lines */
    bool fresh = !progress->phase || strcmp(progress->phase, now->phase) != 0;
    if (now->resumed > 0 && !progress->resumed_said) {
        progress->resumed_said = true;
        if (!progress->quiet) {
            fprintf(stderr, "%sresumed: %zu of %zu\n", progress->tty ? "\r\033[K" : "",
                    now->resumed, now->total);
        }
    }
    if (fresh) {
        /* The first call may come before any work or after the first piece of it. */
        progress->phase = now->phase;
        progress->base_done = now->resumed < now->done ? now->resumed : now->done;
        progress->base_flops = now->seconds < 0.01 ? now->flops_done : 0;
        progress->base_seconds = now->seconds < 0.01 ? now->seconds : 0;
        progress->printed_at = 0;
    }
    if (!progress->quiet &&
        (now->seconds - progress->printed_at >= every || (fresh && progress->tty))) {
        progress->printed_at = now->seconds;
        print_line(progress, now);
    }
    return !stop_asked;
}

void cli_progress_close(struct cli_progress *progress)
{
    if (progress->tty && !progress->quiet && progress->phase) {
        fprintf(stderr, "\r\033[K");
        fflush(stderr);
    }
}
