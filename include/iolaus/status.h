/* Status codes: one row per code, shared by the enum, the names and the documentation. */
#ifndef IOLAUS_STATUS_H
#define IOLAUS_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define IOL_API       __attribute__((visibility("default")))
#define IOL_NODISCARD __attribute__((warn_unused_result))
#else
#define IOL_API
#define IOL_NODISCARD
#endif

/* X(symbol, value, text) */
#define IOL_STATUS_MAP(X)                                                                          \
    X(IOL_OK, 0, "success")                                                                        \
    X(IOL_E_INVAL, 1, "invalid argument")                                                          \
    X(IOL_E_NOMEM, 2, "out of memory")                                                             \
    X(IOL_E_IO, 3, "input or output failed")                                                       \
    X(IOL_E_FORMAT, 4, "a file is not in the expected form")                                       \
    X(IOL_E_UNSUPPORTED, 5, "not supported")                                                       \
    X(IOL_E_CPU, 6, "the processor lacks an instruction set")                                      \
    X(IOL_E_MISMATCH, 7, "the results belong to another experiment")                               \
    X(IOL_E_LIMIT, 8, "a limit would be exceeded")                                                 \
    X(IOL_E_STOPPED, 9, "stopped on request")

enum iol_status {
#define IOL_STATUS_ENUM(symbol, value, text) symbol = (value),
    IOL_STATUS_MAP(IOL_STATUS_ENUM)
#undef IOL_STATUS_ENUM
};

/* The symbol of a status ("IOL_E_FORMAT"). Static storage. Thread-safe. */
IOL_API const char *iol_status_name(enum iol_status status);

/* What a status means in a few words. Static storage. Thread-safe. */
IOL_API const char *iol_status_text(enum iol_status status);

/* One sentence about the last failure in this thread: file, place, found, expected. Empty if
 * nothing failed yet. Valid until the next failing call in this thread. Thread-safe. */
IOL_API const char *iol_error(void);

#ifdef __cplusplus
}
#endif
#endif
