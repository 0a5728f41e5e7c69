/* A QEMU plugin that counts instructions: from the first one of the function count_begin until that of count_end, where it
 * prints their number. Needs no header of QEMU, whose plugin interface is declared here as far as it is used. */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*vcpu_udata_cb)(unsigned vcpu, void *userdata);
typedef void (*tb_trans_cb)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, tb_trans_cb cb);
/* flags: 0, the callback reads no registers. */
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, vcpu_udata_cb cb, int flags, void *userdata);

/* The version of the interface: QEMU loads plugins of some versions only. */
int qemu_plugin_version = PLUGIN_VERSION;

/* Where both functions start. */
static uint64_t begin, end;
static uint64_t count;

static void on_begin(unsigned vcpu, void *userdata)
{
    count = 0;
}

static void on_instruction(unsigned vcpu, void *userdata)
{
    count++;
}

static void on_end(unsigned vcpu, void *userdata)
{
    printf("%" PRIu64 "\n", count);
    fflush(stdout);
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t at = qemu_plugin_insn_vaddr(insn);
        vcpu_udata_cb cb = at == begin ? on_begin : at == end ? on_end : on_instruction;
        qemu_plugin_register_vcpu_insn_exec_cb(insn, cb, 0, NULL);
    }
}

/* Arguments: begin and end, the addresses of both functions; an odd one, as Thumb code has in ELF files, is that of the
 * instruction before. */
int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (sscanf(argv[i], "begin=%" SCNx64, &begin) != 1 && sscanf(argv[i], "end=%" SCNx64, &end) != 1)
            return -1;
    begin &= ~(uint64_t)1;
    end &= ~(uint64_t)1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    return 0;
}
