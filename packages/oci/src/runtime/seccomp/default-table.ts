/**
 * What RuntimeDefault lets a container call, grouped by what the calls are for. Everything that is in no group fails with EPERM:
 * kernel modules, kexec, clocks, swap, quotas, keyrings, new mounts and namespaces, userfaultfd, io_uring, raw I/O ports and the like.
 * Names that an architecture or kernel lacks are passed over by the runtime.
 */
export const alwaysAllowed: Readonly<Record<string, string>> = {
  files: `access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
    fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync flock fstat fstat64
    fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 ioctl lchown lchown32 link linkat
    _llseek lseek lstat lstat64 mkdir mkdirat mknod mknodat newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev
    pwritev2 read readahead readlink readlinkat readv rename renameat renameat2 rmdir sendfile sendfile64 splice stat stat64 statfs
    statfs64 statx symlink symlinkat sync sync_file_range arm_sync_file_range sync_file_range2 syncfs tee truncate truncate64 umask
    unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev cachestat`,
  attributes: `fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat llistxattr lremovexattr
    lsetxattr removexattr removexattrat setxattr setxattrat`,
  watching: `epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2
    inotify_add_watch inotify_init inotify_init1 inotify_rm_watch poll ppoll ppoll_time64 pselect6 pselect6_time64 select _newselect
    signalfd signalfd4 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64`,
  memory: `brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2
    mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages`,
  processes: `alarm arch_prctl capget capset execve execveat exit exit_group fork vfork getpgid getpgrp getpid getppid getpriority
    getrlimit ugetrlimit getrusage getsid gettid kill landlock_add_rule landlock_create_ruleset landlock_restrict_self nanosleep
    clock_nanosleep clock_nanosleep_time64 pause pidfd_open pidfd_send_signal prctl prlimit64 restart_syscall rseq setpgid setpriority
    setrlimit setsid set_tid_address tgkill times tkill wait4 waitid waitpid seccomp set_thread_area get_thread_area ioprio_get
    ioprio_set uname sysinfo getcpu getrandom lsm_get_self_attr lsm_set_self_attr lsm_list_modules`,
  identities: `getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32 getresuid getresuid32
    getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setregid setregid32 setresgid
    setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32`,
  scheduling: `sched_getaffinity sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler
    sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield`,
  signals: `rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
    rt_tgsigqueueinfo sigaltstack sigreturn sigprocmask`,
  threads: `futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list set_robust_list`,
  clocks: `adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 getitimer gettimeofday
    setitimer time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64`,
  network: `accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg send
    sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair pipe pipe2`,
  ipc: `ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl
    msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget`,
  "asynchronous i/o": `io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit`,
  // Safe since Linux 4.8, where ptrace can no longer slip past a filter. uretprobe is what the kernel itself plants in traced programs.
  tracing: `ptrace process_vm_readv process_vm_writev uretprobe`,
  // A handle opens nothing without open_by_handle_at; the rest shows only the caller's own mounts and files.
  looking: `name_to_handle_at statmount listmount file_getattr file_setattr`,
};

/** What a capability unlocks on top. */
export const allowedWith: Readonly<Record<string, string>> = {
  CAP_DAC_READ_SEARCH: "open_by_handle_at",
  CAP_SYS_ADMIN: `bpf clone3 fanotify_init fanotify_mark fsconfig fsmount fsopen fspick listns lookup_dcookie mount mount_setattr
    move_mount open_tree open_tree_attr perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2
    unshare`,
  CAP_SYS_BOOT: "reboot",
  CAP_SYS_CHROOT: "chroot",
  CAP_SYS_MODULE: "delete_module init_module finit_module",
  CAP_SYS_PACCT: "acct",
  CAP_SYS_PTRACE: "kcmp pidfd_getfd process_madvise",
  CAP_SYS_RAWIO: "iopl ioperm",
  CAP_SYS_TIME: "settimeofday stime clock_settime clock_settime64",
  CAP_SYS_TTY_CONFIG: "vhangup",
  CAP_SYS_NICE: "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
  CAP_SYSLOG: "syslog",
  CAP_BPF: "bpf",
  CAP_PERFMON: "perf_event_open",
};

/** The bits of clone(2)'s flags that make namespaces: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
export const cloneNamespaceFlags = 0x7e020000;

/** The personality(2) values that change no address layout: PER_LINUX, PER_LINUX32, their UNAME26 forms, and the query. */
export const harmlessPersonalities: readonly number[] = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff];

/**
 * Address families that no container may open: AF_VSOCK (40) reaches the hypervisor past every network policy, AF_ALG (38) is the
 * kernel's crypto code, with a long history of holes and nobody to miss it. 32-bit programs can go through socketcall, which a filter
 * cannot look into.
 */
export const refusedFamilies = { alg: 38, vsock: 40 } as const;
