#define _GNU_SOURCE
#include "peers/peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct peer *const peers[PEER_COUNT] = {
#define PEER(name) &peer_##name,
#include "peers.def"
#undef PEER
};

const char *peer_name(enum peer_id id)
{
    return peers[id]->name;
}

bool peer_elsewhere(enum peer_id id)
{
    return peers[id]->turn != NULL;
}

const struct peer *peer_get(enum peer_id id, const char **out_text)
{
    static struct {
        bool tried, here;
        char text[PEER_TEXT];
    } state[PEER_COUNT];
    if (!state[id].tried) {
        state[id].tried = true;
        state[id].here = peers[id]->open(state[id].text);
    }
    *out_text = state[id].text;
    return state[id].here ? peers[id] : NULL;
}

void peer_setting(const char *name, const char *value)
{
    const char *given = getenv(name), *rule = getenv("IOL_PEER_SETTINGS");
    if (given ? value && strcmp(given, value) == 0 : !value) {
        return;
    }
    if (given && rule && strcmp(rule, "keep") == 0) {
        printf("setting %s=%s is kept (the bench would have %s)\n", name, given,
               value ? value : "none");
        return;
    }
    if (given) {
        printf("setting %s=%s is replaced (IOL_PEER_SETTINGS=keep keeps it)\n", name, given);
    }
    if (value) {
        setenv(name, value, 1);
    } else {
        unsetenv(name);
    }
}

void peer_append_setting(char text[PEER_TEXT], const char *name)
{
    const char *value = getenv(name);
    size_t used = strlen(text);
    if (value) {
        snprintf(text + used, PEER_TEXT - used, " %s=%s", name, value);
    }
}
