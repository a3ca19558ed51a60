/* Cuts the power of the ext4 file system at argv[1]: what was not written to its device is gone, its journal too.
 * EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH. A program of its own, for it needs an unsafe call. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>

int main(int argc, char **argv) {
    uint32_t no_log_flush = 2;
    int folder = argc == 2 ? open(argv[1], O_RDONLY) : -1;
    if (folder < 0 || ioctl(folder, _IOR('X', 125, uint32_t), &no_log_flush) < 0) {
        perror("cut");
        return 1;
    }
    return 0;
}
