#include <stdbool.h>

#include "iolaus/experiment.h"

static const struct {
    const char *name, *text;
} metrics[] = {
#define METRIC(name, text) {#name, text},
#include "metrics.def"
#undef METRIC
};

bool iol_metric_get(size_t index, const char **out_name, const char **out_text)
{
    if (index >= sizeof metrics / sizeof metrics[0]) {
        return false;
    }
    *out_name = metrics[index].name;
    *out_text = metrics[index].text;
    return true;
}
