/* Goals of attention that need no peer: K3b, K3d. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "bench_attention.h"
#include "goals.h"

struct attention_goal {
    const char *id, *group;
    size_t least_keys, most_keys;
    bool branches, narrow; /* narrow: head size below 64 */
    double target;
};

static const struct attention_goal goals[] = {
    {"K3b", "causal, T >= 512, d >= 64, share of peak", 512, 4096, false, false, 0.72},
    {"K3b", "causal, T >= 512, d < 64, share of peak", 512, 4096, false, true, 0.58},
    {"K3b", "causal, T = 128, d >= 64, share of peak", 128, 128, false, false, 0.55},
    {"K3d", "branches, B >= 64, T = 512, d >= 64, share of peak", 512, 512, true, false, 0.72},
    {"K3d", "branches, B >= 64, T = 128, d >= 64, share of peak", 128, 128, true, false, 0.60},
};

void goal_attention(const struct goal_options *options, struct goal_report *report)
{
    static const size_t keys[] = {128, 512, 1024}, dims[] = {32, 64, 128};
    enum { GOALS = sizeof goals / sizeof *goals, KEYS = 3, DIMS = 3 };
    struct {
        struct bench_interval worst;
        struct attention_shape shape;
        size_t cells, missed;
    } state[GOALS] = {0};
    if (!goal_wanted(options, "K3b") && !goal_wanted(options, "K3d")) {
        return;
    }
    for (size_t i = 0; i < (size_t)KEYS * DIMS * 2 && iol_seconds() < options->deadline; i++) {
        struct attention_shape shape = {keys[i % KEYS], dims[i / KEYS % DIMS],
                                        i / (KEYS * DIMS) ? 384 : 0};
        if (shape.branches && (shape.keys == 1024 || shape.head_dim < 64)) {
            continue;
        }
        struct attention_call call;
        attention_open(&shape, &call);
        struct bench_interval share = goal_peak_share(attention_run, &call, attention_flops(&shape),
                                                      options->full ? 1.0 : 0.2);
        attention_close(&call);
        printf("cell attention %s t %4zu d %3zu b %3zu: %5.1f%% of peak [%.1f %.1f]\n",
               shape.branches ? "branches" : "causal", shape.keys, shape.head_dim, shape.branches,
               100 * share.median, 100 * share.low, 100 * share.high);
        for (size_t g = 0; g < GOALS; g++) {
            if (goals[g].branches == (shape.branches > 0) && shape.keys >= goals[g].least_keys &&
                shape.keys <= goals[g].most_keys && goals[g].narrow == (shape.head_dim < 64)) {
                if (!state[g].cells++ || share.median < state[g].worst.median) {
                    state[g].worst = share;
                    state[g].shape = shape;
                }
                state[g].missed += share.high < goals[g].target;
            }
        }
    }
    for (size_t g = 0; g < GOALS; g++) {
        char reason[256];
        if (!goal_wanted(options, goals[g].id)) {
            continue;
        }
        if (!state[g].cells) {
            goal_skip(report, goals[g].id, goals[g].target, "not reached in the time of this run");
            continue;
        }
        snprintf(reason, sizeof reason, "t 1, %s; %zu cells, %zu missed; worst t %zu d %zu",
                 goals[g].group, state[g].cells, state[g].missed, state[g].shape.keys,
                 state[g].shape.head_dim);
        goal_line(report, goals[g].id, state[g].worst.median, goals[g].target, state[g].missed == 0,
                  reason);
    }
}
