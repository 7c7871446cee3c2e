/* A team of threads that stay: many short parallel jobs, a few microseconds to start each.
 *
 * The caller publishes a job and begins with its tasks at once; helpers join when they are running,
 * and nobody waits for one that has not started. Every worker begins at its own contiguous share of
 * the tasks (so the same tasks meet the same core's cache in the next job) and takes from the
 * others' shares afterwards. Helpers wait for the next job by a bounded spin, then they sleep.
 *
 *   caller   publish -> own share -> others' -> wait for helpers inside a task -> return
 *   helper   spin, sleep -> join -> own share -> others' -> leave
 *
 * Where other processes want the processors: a thread that the kernel stops inside a task is given
 * the processor of a worker that is done (by affinity, for the rest of the job), so that nobody
 * waits for a foreign time slice.
 *
 * Rules: one thread at a time calls iol_team_run on a team (calls from within its own tasks are
 * fine and run in that thread alone). Helpers run on the processors that the thread which opened
 * the team might use; tasks do not change the affinity of their thread. No fork while a job runs; a
 * forked child's team has no helpers, and its caller does everything. Tasks run in the
 * floating-point mode of the numeric contract (fpmode.h), whatever the caller's is. */
#ifndef IOL_TEAM_H
#define IOL_TEAM_H

#include <stddef.h>

struct iol_team;

enum { IOL_TEAM_MOST = 1024 };

/* `threads` workers, the caller included: threads - 1 are started. NULL: no memory, no threads, or
 * more than IOL_TEAM_MOST. Thread-safe. */
struct iol_team *iol_team_open(size_t threads);
/* Ends and joins the helpers. NULL-safe. No job may be running. */
void iol_team_close(struct iol_team *team);
/* Workers, the caller included; 1 for NULL. Thread-safe. */
size_t iol_team_threads(const struct iol_team *team);

/* One task; worker 0 is the caller. Several run at once, each exactly once, in any order. */
typedef void iol_team_task_fn(void *user, size_t task, size_t worker);
/* Run tasks 0 .. tasks - 1 and return when all are done; what they wrote is visible to the caller.
 * team NULL: in this thread. Not thread-safe. */
void iol_team_run(struct iol_team *team, size_t tasks, iol_team_task_fn *run, void *user);

#endif
