#ifndef IOL_FPMODE_H
#define IOL_FPMODE_H

/* The floating-point mode of the numeric contract: round to nearest, denormals kept, exceptions
 * masked. Every thread enters it before it computes and leaves it afterwards. Not inline, so that
 * no arithmetic is moved across. Thread-safe. */
struct iol_fpmode {
    unsigned long saved;
};
struct iol_fpmode iol_fpmode_enter(void);
void iol_fpmode_leave(struct iol_fpmode mode);

#endif
