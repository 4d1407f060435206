/* The hand-over protocol: two operators, two workers, one stream.
 *
 * Read it beside the code that it follows:
 *   Operator, Hand   core/handover.py, core/liveness.py, runtime/publisher.py, runtime/prober.py, runtime/term.py
 *   Sidecar          fingerv7_sidecar/protocol.py, holding.py, mirror.py, config_file.py, proof.py, identity.py
 *   Worker           the process beside it: follows the config, checks the fence file, is stopped within K
 *   Api              what an API server does with requests that are slow, or that nobody waits for any more
 *   Clock            real time, and clocks that run slower or faster than it within the bound
 *
 * `docs/safety.md` tells what is left out and where each assumption comes from. `check.py` runs it, and shows that each
 * rule is needed by switching it off: those are the names that `#ifdef` asks for.
 *
 * What keeps the state space small without losing behaviour:
 * - No resourceVersion is stored. It is compared for equality only, so `fresh` says whether what an operator knows is
 *   the present object. A request that nobody waits for is dropped as soon as its base is stale, because the API then
 *   refuses it. All that are left share one base, so at most one of them is ever accepted: one place an object will do,
 *   and which request has it is chosen freely.
 * - Any process may stand still for any time. That is a pause, a lost or late event, a stalled watch, a network that is
 *   cut. Whoever reads, reads the present state: having read it earlier is having stood still since.
 * - An operator may do anything at any moment that the protocol does not forbid: revoke without a reason, grant to
 *   whomever, lead without having been elected fairly. Only faults and hand-overs are counted.
 */

/* --- bounds, and times in ticks -------------------------------------------------------------------------- */

#ifndef FAULTS
#define FAULTS 2        /* crashes, slow or unanswered requests, and changes of leader, in all */
#endif
#ifndef HANDOVERS
#define HANDOVERS 2     /* revokes, whatever their reason */
#endif
#ifndef D_TICKS
#define D_TICKS 2       /* D: the sidecar fences */
#endif
#ifndef K_TICKS
#define K_TICKS 1       /* K: the worker stops */
#endif
#ifndef T_TICKS
#define T_TICKS 5       /* T: the operator takes over */
#endif
#ifndef DRIFT
#define DRIFT 4         /* rho = 1/DRIFT: of so many ticks, a slow clock may miss one and a fast one counts one twice */
#endif

#define STOPPED_AT (D_TICKS + K_TICKS)

/* --- the objects in the API ------------------------------------------------------------------------------- */

#define NOT_HELD 0
#define GRANTED 1       /* the stream is in `streams` */
#define REVOKING 2      /* the stream is in `revoking`, since epoch `rev` */

typedef Assignment {    /* of a FingerWorker */
    unsigned epoch : 4;
    unsigned leader : 3;
    unsigned held : 2;
    unsigned rev : 4
};

typedef Statement {     /* of a Lease */
    unsigned ack : 4;   /* acknowledged epoch, 0 for none */
    bit released
#ifdef INCARNATIONS
    ;
    unsigned holder : 2;
    unsigned speaker : 2        /* the incarnation named in the acknowledgement or the release */
#endif
};

Assignment fw[2];
Statement lease[2];

/* For how long a Lease is unchanged, on an operator's clock. An operator counts from when its watch showed it the
 * renewal: at the earliest at once, and that is assumed of every operator, also of one that has just started. */
byte unchanged[2];

/* Requests that nobody waits for: sent, not answered, still acceptable. */
Assignment late_fw[2];
bit late_fw_open[2];
bit late_fw_of[2];      /* the operator that sent it */
Statement late_lease[2];
bit late_lease_open[2];

/* --- the operators ---------------------------------------------------------------------------------------- */

#define STANDBY 0
#define ELECTED 1       /* has the election Lease, has not listed yet */
#define LEADER 2

typedef Sight {         /* what one operator knows of one worker */
    Assignment fw;
    bit fresh;          /* that is the present object */
    bit unknown;        /* a write of its own has no known outcome */
    bit unknown_holds;  /* ... and may have given the stream */
    bit arrived;        /* ... and was accepted in truth */
    bit proven;         /* a direct read of the Lease proved that what is being revoked has stopped */
    unsigned ack : 4    /* the acknowledgement that the watch showed */
};

typedef Process {
    unsigned role : 2;
    unsigned epoch : 3; /* leaderEpoch */
    Sight at[2]
};

Process op[2];
byte newest_leader = 1;

/* --- the sidecars and their workers ----------------------------------------------------------------------- */

#define CLEAR 0         /* wants a renewal without statements acknowledged */
#define READ 1          /* ... and then reads the FingerWorker directly */
#define MIRROR 2        /* the config follows the FingerWorker */
#define RELEASED 3      /* runs nothing and says so */

typedef Companion {
    bit up;
    unsigned mode : 2;
    bit waits;                  /* for the answer to a slow write of its Lease */
    unsigned sent : 3;          /* ticks of its clock since that was sent */
    bit counts;                 /* it states nothing, and was sent after the last fence or start */
    Statement says
#ifdef SLOW_ANSWERS
    ;
    bit stored                  /* that write, without an answer yet */
#endif
#ifdef INCARNATIONS
    ;
    unsigned nonce : 2
#endif
};

typedef Follower {              /* the folder that both share, and the worker's process */
    unsigned disk : 4;          /* the epoch of the config; 0: emptied */
    bit disk_has;               /* the stream is in it */
    bit adopted;                /* the worker follows this very config */
    bit confirmed;              /* ... and has written its hash */
    bit up;
    bit runs;                   /* the stream */
    unsigned fence : 3          /* ticks of the host's clock since the send that the fence file names */
#ifdef HASH_WITHOUT_EPOCH
    ;
    bit follows_has;            /* what was adopted last */
    bit said_has                /* what was confirmed last */
#endif
};

Companion sc[2];
Follower wk[2];

byte faults = FAULTS;
byte handovers = HANDOVERS;
bit calm;               /* nothing goes wrong any more, and time waits for whoever has something to do */
byte phase;             /* of real time, modulo DRIFT */
bit slow[2];

/* --- the rules, and how each can be switched off ---------------------------------------------------------- */

/* D: who has not had a renewal acknowledged for so long fences before it does anything else. */
#ifdef FENCE_TOO_LATE
#define FENCE_AT (D_TICKS + 1)
#undef STOPPED_AT
#define STOPPED_AT (D_TICKS + 1 + K_TICKS)
#else
#define FENCE_AT D_TICKS
#endif
/* T: unchanged for so long. */
#ifdef TAKEOVER_TOO_EARLY
#define SILENT_AT (T_TICKS - 1)
#else
#define SILENT_AT T_TICKS
#endif
#ifdef LATE_ANSWER_RENEWS
#define MAY_HEAR(w) true
#else
#define MAY_HEAR(w) IN_TIME(w)
#endif
#ifdef PROOF_FROM_THE_ANSWER
#define PROOF_AGE(w) 0
#else
#define PROOF_AGE(w) sc[w].sent
#endif
#ifdef WORKER_IGNORES_FENCE
#define MAY_START(w) true
#else
#define MAY_START(w) (wk[w].fence < FENCE_AT)
#endif
#ifdef ACK_BEFORE_CONFIRMED
#define MAY_ACK(w) true
#else
#define MAY_ACK(w) wk[w].confirmed
#endif
#ifdef NO_ACK_WAIT
#define MAY_CLEAR(o, w) true
#else
#define MAY_CLEAR(o, w) FREE(o, w)
#endif
#ifdef NO_TAKEOVER
#define READ_SILENT(w) false
#elif defined(TRUST_THE_WATCH)
#define READ_SILENT(w) true     /* it may have stalled at any time */
#else
#define READ_SILENT(w) (unchanged[w] >= SILENT_AT)
#endif
#ifdef LEASE_READ_BEFORE_REVOKE
#define MAY_PROVE(o, w) (op[o].at[w].fw.held != NOT_HELD)
#else
#define MAY_PROVE(o, w) (op[o].at[w].fw.held == REVOKING)
#endif
#ifdef NO_RESOURCE_VERSION      /* what is left is the CRD's own rule */
#define ACCEPTED(o, w, e) ((e) >= fw[w].epoch && op[o].epoch >= fw[w].leader)
#define LATE_ACCEPTED(w) (late_fw[w].epoch >= fw[w].epoch && late_fw[w].leader >= fw[w].leader)
#else
#define ACCEPTED(o, w, e) (op[o].at[w].fresh)   /* else 409, a read and a new decision: as if that had been read first */
#define LATE_ACCEPTED(w) true
#endif
#ifdef NO_BARRIER
#define IN_OFFICE(o, w) (op[o].role == LEADER)
#else
#define IN_OFFICE(o, w) (op[o].role == LEADER && STAMPED(o, 0) && STAMPED(o, 1))
#endif
#define NEXT_EPOCH(o, w) (op[o].at[w].fw.epoch + op[o].at[w].unknown)

#define STAMPED(o, w) (op[o].at[w].fw.leader == op[o].epoch)
#define MAYBE_HELD(o, w) (op[o].at[w].fw.held != NOT_HELD || op[o].at[w].unknown_holds)
#define HELD_BY_NOBODY(o) (!MAYBE_HELD(o, 0) && !MAYBE_HELD(o, 1))
#define ACKED(o, w) (op[o].at[w].ack >= op[o].at[w].fw.rev && op[o].at[w].ack <= op[o].at[w].fw.epoch)
#define FREE(o, w) (ACKED(o, w) || op[o].at[w].proven)

#if defined(INCARNATIONS) && !defined(STATEMENT_OF_ANYBODY)
#define OF_THE_HOLDER(w) (lease[w].speaker == lease[w].holder)
#else
#define OF_THE_HOLDER(w) true
#endif

/* A slow write is answered when it is stored: an answer that comes later still allows less, since D counts from the send.
 * Checked with SLOW_ANSWERS. */
#ifdef SLOW_ANSWERS
#define UNDER_WAY(w) (sc[w].waits && !sc[w].stored)
#else
#define UNDER_WAY(w) (sc[w].waits)
#endif

#define DISK_EMPTY(w) (wk[w].disk == 0)
#if defined(KEEPS_CONFIG_AT_FENCE) || defined(READS_BEFORE_RENEWAL)
#define IN_TIME(w) (wk[w].fence < FENCE_AT || sc[w].mode == CLEAR || sc[w].mode == RELEASED)
#else
#define IN_TIME(w) (wk[w].fence < FENCE_AT || ((sc[w].mode == CLEAR || sc[w].mode == RELEASED) && DISK_EMPTY(w)))
#endif

/* Only while things may go wrong; each costs one of FAULTS. */
#define FAULT (faults > 0 && !calm)
/* In calm the operator is sensible, so that there is something to be reached. */
#define LIVELY(w) (unchanged[w] < SILENT_AT && lease[w].ack && !lease[w].released)
#define SENSIBLE_GRANT(w) (!calm || (LIVELY(w) && ((w) == 0 || !LIVELY(0))))
#define SENSIBLE_REVOKE(w) (!calm || unchanged[w] >= SILENT_AT || lease[w].released)

/* --- writes to the API ------------------------------------------------------------------------------------ */

inline forget_late_fw(w) {
    late_fw_open[w] = 0; late_fw_of[w] = 0;
    late_fw[w].epoch = 0; late_fw[w].leader = 0; late_fw[w].held = 0; late_fw[w].rev = 0
}

inline forget(o, w) {
    op[o].at[w].fw.epoch = 0; op[o].at[w].fw.leader = 0; op[o].at[w].fw.held = 0; op[o].at[w].fw.rev = 0;
    op[o].at[w].fresh = 0; op[o].at[w].unknown = 0; op[o].at[w].unknown_holds = 0; op[o].at[w].arrived = 0;
    op[o].at[w].proven = 0; op[o].at[w].ack = 0
}

inline end_process(o) {
    op[o].role = STANDBY; op[o].epoch = 0; forget(o, 0); forget(o, 1)
}

/* All that it could still do is to notice. */
inline end_if_superseded(o) {
    if
    :: op[o].role == LEADER && fw[0].leader > op[o].epoch && fw[1].leader > op[o].epoch -> end_process(o)
    :: else
    fi
}

inline store_fw(w, e_, l_, h_, r_) {
    fw[w].epoch = e_; fw[w].leader = l_; fw[w].held = h_; fw[w].rev = r_;
    op[0].at[w].fresh = 0; op[1].at[w].fresh = 0;
#ifdef CHECK_OBJECTS
    assert(!(fw[0].held != NOT_HELD && fw[1].held != NOT_HELD));
#endif
#ifndef NO_RESOURCE_VERSION
    forget_late_fw(w);
#endif
    end_if_superseded(0); end_if_superseded(1)
}

inline copy_statement(to_, from_) {
    to_.ack = from_.ack; to_.released = from_.released
#ifdef INCARNATIONS
    ;
    to_.holder = from_.holder; to_.speaker = from_.speaker
#endif
}

inline forget_statement(of_) {
    of_.ack = 0; of_.released = 0
#ifdef INCARNATIONS
    ;
    of_.holder = 0; of_.speaker = 0
#endif
}

inline store_lease(w, from_) {
    copy_statement(lease[w], from_);
    unchanged[w] = 0;
    late_lease_open[w] = 0;
    forget_statement(late_lease[w])
}

/* --- an operator ------------------------------------------------------------------------------------------ */

inline see_fw(o, w) {
    op[o].at[w].fw.epoch = fw[w].epoch; op[o].at[w].fw.leader = fw[w].leader;
    op[o].at[w].fw.held = fw[w].held; op[o].at[w].fw.rev = fw[w].rev;
    op[o].at[w].fresh = 1;
    if
    :: op[o].at[w].arrived -> op[o].at[w].arrived = 0; op[o].at[w].unknown = 0; op[o].at[w].unknown_holds = 0
    :: else
    fi;
    if
    :: fw[w].held != REVOKING -> op[o].at[w].ack = 0; op[o].at[w].proven = 0
    :: else
    fi
}

/* Sent, stored and answered. */
inline write(o, w, e_, h_, r_) {
    store_fw(w, e_, op[o].epoch, h_, r_);
    op[o].at[w].unknown = 0; op[o].at[w].unknown_holds = 0; op[o].at[w].arrived = 0;
#ifndef LEASE_READ_BEFORE_REVOKE
    op[o].at[w].proven = op[o].at[w].proven & (op[o].at[w].fw.held == REVOKING);
#endif
    see_fw(o, w)
}

/* Sent, and not answered in time: counts both ways, and may be stored at any time. */
inline write_unanswered(o, w, e_, h_, r_) {
    faults--;
    late_fw_open[w] = 1; late_fw_of[w] = o;
    late_fw[w].epoch = e_; late_fw[w].leader = op[o].epoch; late_fw[w].held = h_; late_fw[w].rev = r_;
#ifndef UNKNOWN_IS_FAILED
    op[o].at[w].unknown_holds = op[o].at[w].unknown_holds | (h_ != NOT_HELD);
    op[o].at[w].unknown = 1;
#endif
}

/* The process: elected, in office, ended. */
proctype Operator(bit o) {
end:
    do
    :: d_step { op[o].role == STANDBY && newest_leader < 6 && (FAULT || (calm && op[1 - o].role == STANDBY)) ->
        faults = faults - !calm;
        newest_leader++; op[o].epoch = newest_leader; op[o].role = ELECTED;
        printf("operator %d is elected, leaderEpoch %d\n", o, op[o].epoch) }
    :: d_step { op[o].role == ELECTED ->
        if      /* max(what the election gave, highest stored + 1), and nobody else's */
        :: fw[0].leader >= op[o].epoch || fw[1].leader >= op[o].epoch -> newest_leader++; op[o].epoch = newest_leader
        :: else
        fi;
        op[o].role = LEADER;
#ifdef NO_BARRIER
        see_fw(o, 0); see_fw(o, 1);
#endif
        printf("operator %d lists the FingerWorkers and is in office, leaderEpoch %d\n", o, op[o].epoch) }
    :: d_step { op[o].role != STANDBY && FAULT ->
        faults--; end_process(o);
        printf("operator %d crashes\n", o) }
    od
}

/* The same process: what it does about one worker. */
proctype Hand(bit o; bit w) {
end:
    do
    /* The watches. Who reads a leaderEpoch above its own exits before it writes. */
    :: d_step { op[o].role == LEADER && !op[o].at[w].fresh && (STAMPED(o, w) || fw[w].leader >= op[o].epoch) ->
        if
        :: fw[w].leader > op[o].epoch -> end_process(o); printf("operator %d reads a newer leaderEpoch and exits\n", o)
        :: else -> see_fw(o, w); printf("operator %d sees FingerWorker %d at epoch %d\n", o, w, fw[w].epoch)
        fi }
    :: d_step { op[o].role == LEADER && fw[w].held == REVOKING && lease[w].ack >= fw[w].rev &&
                op[o].at[w].ack != lease[w].ack && OF_THE_HOLDER(w) ->
        op[o].at[w].ack = lease[w].ack;
        printf("operator %d sees that worker %d acknowledges epoch %d\n", o, w, lease[w].ack) }

    /* The stamp: first, and alone. On what it read: until it is stored, older knowledge is good for nothing. */
    :: d_step { op[o].role == LEADER && !STAMPED(o, w) && fw[w].leader < op[o].epoch ->
        write(o, w, fw[w].epoch, fw[w].held, fw[w].rev);
        printf("operator %d stamps FingerWorker %d\n", o, w) }
    :: d_step { op[o].role == LEADER && !STAMPED(o, w) && fw[w].leader < op[o].epoch && FAULT ->
        write_unanswered(o, w, fw[w].epoch, fw[w].held, fw[w].rev);
        printf("operator %d stamps FingerWorker %d and gets no answer\n", o, w) }

    /* 1. Revoke. */
    :: d_step { IN_OFFICE(o, w) && op[o].at[w].fw.held == GRANTED && (handovers > 0 || calm) && SENSIBLE_REVOKE(w) &&
                ACCEPTED(o, w, op[o].at[w].fw.epoch + 1) ->
        handovers = handovers - (handovers > 0);
        write(o, w, op[o].at[w].fw.epoch + 1, REVOKING, op[o].at[w].fw.epoch + 1);
        printf("operator %d revokes from worker %d at epoch %d\n", o, w, fw[w].epoch) }
    :: d_step { IN_OFFICE(o, w) && op[o].at[w].fw.held == GRANTED && handovers > 0 && op[o].at[w].fresh && FAULT ->
        handovers--;
        write_unanswered(o, w, op[o].at[w].fw.epoch + 1, REVOKING, op[o].at[w].fw.epoch + 1);
        printf("operator %d revokes from worker %d and gets no answer\n", o, w) }

    /* A takeover: the Lease is read directly, after the revoke was stored. */
    :: d_step { IN_OFFICE(o, w) && MAY_PROVE(o, w) && !op[o].at[w].proven && READ_SILENT(w) ->
        op[o].at[w].proven = 1;
        printf("operator %d reads Lease %d: silent for T\n", o, w) }
#ifdef RELEASES
    :: d_step { IN_OFFICE(o, w) && MAY_PROVE(o, w) && !op[o].at[w].proven && lease[w].released && OF_THE_HOLDER(w) ->
        op[o].at[w].proven = 1;
        printf("operator %d reads Lease %d: released\n", o, w) }
#endif
#ifdef NEW_INCARNATION_IS_RELEASE
    :: d_step { IN_OFFICE(o, w) && MAY_PROVE(o, w) && !op[o].at[w].proven && lease[w].holder > 0 ->
        op[o].at[w].proven = 1;
        printf("operator %d sees a new incarnation in Lease %d\n", o, w) }
#endif

    /* 2. Free: the entry is cleared, which does not raise the epoch. */
    :: d_step { IN_OFFICE(o, w) && op[o].at[w].fw.held == REVOKING && MAY_CLEAR(o, w) && ACCEPTED(o, w, NEXT_EPOCH(o, w)) ->
        write(o, w, NEXT_EPOCH(o, w), NOT_HELD, 0);
        printf("operator %d clears worker %d\n", o, w) }
    :: d_step { IN_OFFICE(o, w) && op[o].at[w].fw.held == REVOKING && MAY_CLEAR(o, w) && op[o].at[w].fresh && FAULT ->
        write_unanswered(o, w, NEXT_EPOCH(o, w), NOT_HELD, 0);
        printf("operator %d clears worker %d and gets no answer\n", o, w) }

    /* 3. Grant what nobody holds, or give back what has not been freed. */
    :: d_step { IN_OFFICE(o, w) && HELD_BY_NOBODY(o) && SENSIBLE_GRANT(w) && ACCEPTED(o, w, op[o].at[w].fw.epoch + 1) ->
        write(o, w, op[o].at[w].fw.epoch + 1, GRANTED, 0);
        printf("operator %d grants to worker %d at epoch %d\n", o, w, fw[w].epoch) }
    :: d_step { IN_OFFICE(o, w) && HELD_BY_NOBODY(o) && op[o].at[w].fresh && FAULT ->
        write_unanswered(o, w, op[o].at[w].fw.epoch + 1, GRANTED, 0);
        printf("operator %d grants to worker %d and gets no answer\n", o, w) }
    :: d_step { IN_OFFICE(o, w) && op[o].at[w].fw.held == REVOKING && !FREE(o, w) && !op[o].at[w].unknown &&
                !MAYBE_HELD(o, 1 - w) && handovers > 0 && !calm && ACCEPTED(o, w, op[o].at[w].fw.epoch + 1) ->
        handovers--;
        write(o, w, op[o].at[w].fw.epoch + 1, GRANTED, 0);
        printf("operator %d gives back to worker %d at epoch %d\n", o, w, fw[w].epoch) }

    /* Nothing to say, but an unanswered write has to be overtaken. */
    :: d_step { IN_OFFICE(o, w) && op[o].at[w].unknown && ACCEPTED(o, w, op[o].at[w].fw.epoch + 1) ->
#ifdef WRITES_NOTHING_ANEW      /* a patch that changes nothing leaves the resourceVersion as it is */
        op[o].at[w].unknown = 0; op[o].at[w].unknown_holds = 0; op[o].at[w].arrived = 0;
#else
        write(o, w, op[o].at[w].fw.epoch + 1, op[o].at[w].fw.held, op[o].at[w].fw.rev);
#endif
        printf("operator %d writes FingerWorker %d anew, at epoch %d\n", o, w, fw[w].epoch) }
    od
}

/* --- a sidecar -------------------------------------------------------------------------------------------- */

inline config(w, e_, h_) {
    wk[w].disk = e_; wk[w].disk_has = h_; wk[w].adopted = 0;
#ifdef HASH_WITHOUT_EPOCH
    wk[w].confirmed = (wk[w].said_has == h_)
#else
    wk[w].confirmed = 0
#endif
}

#ifdef READS_BEFORE_RENEWAL
#define MAY_READ(w) (sc[w].mode != RELEASED && wk[w].disk != fw[w].epoch)
#define AFTER_CLEAR MIRROR
#define AFTER_READING(w) (sc[w].mode == CLEAR -> CLEAR : MIRROR)
#else
#define MAY_READ(w) (sc[w].mode == READ || (sc[w].mode == MIRROR && wk[w].disk != fw[w].epoch))
#define AFTER_CLEAR READ
#define AFTER_READING(w) MIRROR
#endif

inline read_fw(w) {
    sc[w].mode = AFTER_READING(w);
    if
    :: wk[w].disk != fw[w].epoch -> config(w, fw[w].epoch, (fw[w].held == GRANTED))
    :: else
    fi
}

inline no_request(w) {
#ifdef SLOW_ANSWERS
    sc[w].stored = 0;
#endif
    sc[w].waits = 0; sc[w].sent = 0; sc[w].counts = 0; forget_statement(sc[w].says)
}

inline state(w) {
    sc[w].says.ack = (sc[w].mode == MIRROR && MAY_ACK(w) -> wk[w].disk : 0);
    sc[w].says.released = (sc[w].mode == RELEASED)
#ifdef INCARNATIONS
    ;
    sc[w].says.holder = sc[w].nonce;
    sc[w].says.speaker = sc[w].nonce;
#ifdef KEEPS_STATEMENTS         /* whoever acquires leaves those of a predecessor where they are */
    if
    :: lease[w].holder != sc[w].nonce -> copy_statement(sc[w].says, lease[w]); sc[w].says.holder = sc[w].nonce
    :: else
    fi
#endif
#endif
}

/* An acknowledged write of the Lease: the worker may run for D from when it was sent. */
inline renewed(w, age_, counts_) {
    if
    :: age_ < FENCE_AT ->
        wk[w].fence = age_;
        if
        :: sc[w].mode == CLEAR && counts_ -> sc[w].mode = AFTER_CLEAR
        :: else
        fi
    :: else
    fi
}

inline leave_in_network(w) {
    if
    :: UNDER_WAY(w) -> late_lease_open[w] = 1; copy_statement(late_lease[w], sc[w].says)
    :: else
    fi;
    no_request(w)
}

/* In calm, a renewal is due at the next tick, or at once when there is something to say. */
#define DUE(w) (!calm || wk[w].fence > 0 || sc[w].mode == CLEAR || lease[w].released != (sc[w].mode == RELEASED) || \
                (sc[w].mode == MIRROR && wk[w].confirmed && lease[w].ack != wk[w].disk))

proctype Sidecar(bit w) {
end:
    do
    :: d_step { sc[w].up && !IN_TIME(w) ->
        sc[w].mode = CLEAR; sc[w].counts = 0;
#ifndef KEEPS_CONFIG_AT_FENCE
        config(w, 0, 0);
#endif
        printf("sidecar %d fences\n", w) }

    :: d_step { sc[w].up && IN_TIME(w) && !sc[w].waits && DUE(w) ->
        state(w);
        store_lease(w, sc[w].says);
        renewed(w, 0, true);
        no_request(w);
        printf("sidecar %d renews: acknowledges epoch %d, released %d; config of epoch %d\n", w, lease[w].ack, lease[w].released, wk[w].disk) }
    :: d_step { sc[w].up && IN_TIME(w) && !sc[w].waits && FAULT ->
        faults--;
        state(w);
        sc[w].waits = 1; sc[w].counts = (sc[w].mode == CLEAR);
        printf("sidecar %d sends a renewal that is slow\n", w) }
    :: d_step { sc[w].up && sc[w].waits && MAY_HEAR(w) ->
        if
        :: UNDER_WAY(w) -> store_lease(w, sc[w].says)
        :: else
        fi;
        renewed(w, PROOF_AGE(w), sc[w].counts);
        no_request(w);
        printf("sidecar %d: the slow renewal is stored and answered; config of epoch %d\n", w, wk[w].disk) }

    :: d_step { sc[w].up && IN_TIME(w) && MAY_READ(w) ->
        read_fw(w);
        printf("sidecar %d writes the config of epoch %d\n", w, wk[w].disk) }

#ifdef RELEASES
    /* The lock is free, and still is once the config is emptied. */
    :: d_step { sc[w].up && IN_TIME(w) && !wk[w].up && sc[w].mode != RELEASED ->
        sc[w].mode = RELEASED; sc[w].counts = 0; config(w, 0, 0);
        printf("sidecar %d finds its worker gone\n", w) }
    :: d_step { sc[w].up && IN_TIME(w) && wk[w].up && sc[w].mode == RELEASED ->
        sc[w].mode = CLEAR; sc[w].counts = 0;
        printf("sidecar %d finds its worker back\n", w) }
#endif

    :: d_step { sc[w].up && FAULT ->
        faults--;
        leave_in_network(w);
        sc[w].up = 0; sc[w].mode = CLEAR;
        printf("sidecar %d crashes\n", w) }
    :: d_step { !sc[w].up && !calm ->     /* in the same pod, as a new incarnation; who is down in calm stays down */
        sc[w].up = 1;
#ifdef INCARNATIONS
        sc[w].nonce++;
#endif
        if
        :: wk[w].fence >= FENCE_AT -> config(w, 0, 0)
        :: else
        fi;
        printf("sidecar %d starts again\n", w) }
    od
}

/* --- a worker --------------------------------------------------------------------------------------------- */

inline worker_ends(w) {
    wk[w].adopted = 0; wk[w].runs = 0;
#ifdef RELEASES
    wk[w].up = 0;
#endif
}

proctype Worker(bit w) {
end:
    do
    :: d_step { !wk[w].up -> wk[w].up = 1; printf("worker %d starts\n", w) }
    :: d_step { wk[w].up && !wk[w].adopted && !wk[w].disk_has ->
        wk[w].adopted = 1; wk[w].runs = 0;
#ifdef HASH_WITHOUT_EPOCH
        wk[w].follows_has = 0;
#endif
        printf("worker %d runs nothing\n", w) }
    :: d_step { wk[w].up && !wk[w].adopted && wk[w].disk_has && MAY_START(w) ->
        wk[w].adopted = 1; wk[w].runs = 1;
#ifdef HASH_WITHOUT_EPOCH
        wk[w].follows_has = 1;
#endif
        printf("worker %d RUNS THE STREAM\n", w);
        assert(!(wk[0].runs && wk[1].runs)) }
#ifdef HASH_WITHOUT_EPOCH
    :: d_step { wk[w].up && wk[w].follows_has == wk[w].runs && wk[w].said_has != wk[w].follows_has ->
        wk[w].said_has = wk[w].follows_has; wk[w].confirmed = (wk[w].said_has == wk[w].disk_has);
        printf("worker %d confirms what it follows\n", w) }
#else
    :: d_step { wk[w].up && wk[w].adopted && !wk[w].confirmed ->
        wk[w].confirmed = 1; printf("worker %d confirms\n", w) }
#endif
    :: d_step { wk[w].runs && wk[w].fence >= FENCE_AT ->
        worker_ends(w); printf("worker %d is stopped by its fence\n", w) }
    :: d_step { wk[w].up && FAULT && wk[w].adopted ->
        faults--; worker_ends(w); printf("worker %d crashes\n", w) }
    od
}

/* --- slow requests ---------------------------------------------------------------------------------------- */

proctype Api(bit w) {
end:
    do
    :: d_step { UNDER_WAY(w) ->
        store_lease(w, sc[w].says);
        no_request(w);
        printf("Lease %d: the slow renewal is stored, and the answer lost\n", w) }
#ifdef SLOW_ANSWERS
    :: d_step { UNDER_WAY(w) ->
        sc[w].stored = 1;
        store_lease(w, sc[w].says);
        printf("Lease %d: the slow renewal is stored\n", w) }
#endif
    :: d_step { late_lease_open[w] ->
        if      /* what is under way now will be refused, and sent anew */
        :: UNDER_WAY(w) -> no_request(w)
        :: else
        fi;
        store_lease(w, late_lease[w]);
        printf("Lease %d: a renewal that nobody waits for is stored\n", w) }
    :: d_step { late_fw_open[w] && LATE_ACCEPTED(w) ->
        op[late_fw_of[w]].at[w].arrived = (op[late_fw_of[w]].at[w].unknown && op[late_fw_of[w]].epoch == late_fw[w].leader);
        store_fw(w, late_fw[w].epoch, late_fw[w].leader, late_fw[w].held, late_fw[w].rev);
        forget_late_fw(w);
        printf("FingerWorker %d: a write that nobody waits for is stored, epoch %d\n", w, fw[w].epoch) }
    od
}

/* --- time ------------------------------------------------------------------------------------------------- */

inline host_ticks(w) {
    if
    :: slow[w] -> slow[w] = 0
    :: else ->
        if
        :: wk[w].fence < STOPPED_AT -> wk[w].fence++
        :: else
        fi;
        if
        :: wk[w].fence == STOPPED_AT && wk[w].runs -> worker_ends(w)
        :: else
        fi;
        if
        :: sc[w].waits -> sc[w].sent++
        :: else
        fi;
#ifdef PROOF_FROM_THE_ANSWER
        if
        :: sc[w].sent > FENCE_AT -> sc[w].sent = FENCE_AT
        :: else
        fi
#else
        if      /* its answer is worth nothing any more */
        :: sc[w].sent == FENCE_AT -> leave_in_network(w)
        :: else
        fi
#endif
    fi
}

inline operators_tick(w) {     /* always as fast as allowed: more age only ever allows more */
    unchanged[w] = (unchanged[w] + 1 + (phase == 0) >= SILENT_AT -> SILENT_AT : unchanged[w] + 1 + (phase == 0))
}

proctype Clock() {
end:
    do
    :: atomic { !calm || timeout ->
        if
        :: phase == 0 -> slow[0] = 1
        :: phase == 0 -> slow[1] = 1
        :: phase == 0 -> slow[0] = 1; slow[1] = 1
        :: true
        fi;
progress:
        d_step {
            host_ticks(0); host_ticks(1);
            operators_tick(0); operators_tick(1);
            phase = (phase + 1) % DRIFT;
            printf("-- a tick\n")
        } }
    od
}

#ifdef LIVENESS
/* From some moment on nothing goes wrong any more; then exactly one worker runs the stream and goes on with it, whoever
 * is dead for good, if not both are. */
proctype Calm() {
    d_step { calm = 1; faults = 0; printf("nothing goes wrong any more\n") }
}

ltl one_owner { <>[](wk[0].runs + wk[1].runs == 1 || (!sc[0].up && !sc[1].up)) }
#endif

init {
    d_step {
        /* Worker 0 runs the stream, acknowledged; operator 0 leads; nothing is under way. */
        fw[0].epoch = 1; fw[0].leader = 1; fw[0].held = GRANTED;
        fw[1].epoch = 1; fw[1].leader = 1;
        op[0].role = LEADER; op[0].epoch = 1;
        byte i = 0;
        do
        :: i < 2 ->
            lease[i].ack = 1;
            sc[i].up = 1; sc[i].mode = MIRROR;
            wk[i].up = 1; wk[i].disk = 1; wk[i].disk_has = (i == 0);
            wk[i].adopted = 1; wk[i].confirmed = 1; wk[i].runs = (i == 0);
#ifdef HASH_WITHOUT_EPOCH
            wk[i].follows_has = (i == 0); wk[i].said_has = (i == 0);
#endif
            see_fw(0, i);
            i++
        :: else -> break
        od;
        i = 0
    };
    atomic {
        run Operator(0); run Operator(1);
        run Hand(0, 0); run Hand(0, 1); run Hand(1, 0); run Hand(1, 1);
        run Sidecar(0); run Sidecar(1);
        run Worker(0); run Worker(1);
        run Api(0); run Api(1);
        run Clock()
#ifdef LIVENESS
        ;
        run Calm()
#endif
    }
}
