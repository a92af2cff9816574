; Nanobenchmarks: what single privileged or virtualized operations cost, in cycles of the guest's
; own time-stamp counter. Runs unchanged under any PC with a serial port and Multiboot, or behind
; boot_sector.asm. Prints, in hexadecimal, one line a repetition: `nano NAME OPERATIONS CYCLES`.
; Each repetition is long enough that loops, entering ring 3 and the counter itself do not matter.
%include "guest.inc"
%define RESULT "nano"
%include "rows.inc"

ENTRY_TIMER equ 0x20

; Pages with a meaning of their own; the tables for them exist (paging_on).
MISSING equ VIRTUAL + 0x10000     ; never present; for ring 3
REMAPPED equ VIRTUAL + 0x20000    ; sixteen pages whose entries are written
SWITCHED equ VIRTUAL + 0x400000   ; under the directory entry in which the two spaces differ
OTHER_DIR equ SPARE + 0x100000
OTHER_TABLE equ SPARE + 0x101000
TEXT_PAGE equ 0xb8000
PIT_COUNT equ 2000
WAKE_UPS equ 64

main:
  call set_up_rows
  call paging_on
  user_page addr(user_code)
  user_page USER_STACK - 0x1000
  map MISSING, 0
  call make_other_space
  gate 0x80, bare_return, 0xee00
  gate 0, after_divide, 0x8e00
  gate 14, after_page_fault, 0x8e00
  mov esi, rows
.next:
  call measure
  add esi, ROW_BYTES
  cmp esi, rows_end
  jb .next
  call measure_wake_up
  jmp end_rows

; ---- handlers, as short as they can be ----

bare_return:
  iret

after_divide:
  add dword [esp], 2              ; past DIV ECX
  iret

after_page_fault:
  add esp, 4
  add dword [esp], 2              ; past MOV EAX, [ESI]
  iret

system_enter:
  sysexit

; ---- preparations ----

prepare_system_enter:
  mov eax, 1
  cpuid
  bt edx, 11                      ; SEP
  cmc
  jc .done
  mov ecx, 0x174
  xor edx, edx
  mov eax, CODE0
  wrmsr
  inc ecx
  mov eax, STACK_TOP - 0x20000
  wrmsr
  inc ecx
  mov eax, system_enter
  wrmsr
  clc
.done:
  ret

make_other_space:
  mov esi, PAGE_DIR
  mov edi, OTHER_DIR
  mov ecx, 1024
  rep movsd
  mov edi, OTHER_TABLE
  mov ecx, 1024
  xor eax, eax
  rep stosd
  mov dword [OTHER_DIR + (SWITCHED >> 22) * 4], OTHER_TABLE + (P | W | U)
  mov dword [OTHER_TABLE], SPARE + 0x5000 + (P | W)
  map SWITCHED, SPARE + 0x4000 + (P | W)
  ret

; Sixteen pages, all used once, so that whatever shadows the table has them.
prepare_remapped:
  mov edi, PAGE_TABLES + (REMAPPED >> 12) * 4
  mov ecx, 16
  mov eax, SPARE + 0x10000 + (P | W)
.next:
  stosd
  add eax, 0x1000
  loop .next
  call flush_tlb
  mov edi, REMAPPED
  mov ecx, 16
.touch:
  mov [edi], ecx
  add edi, 0x1000
  loop .touch
  clc
  ret

; ---- bodies in ring 0 ----

align 16
empty_loop:
.next:
  turns_of .next
  ret

align 16
call_return:
.next:
%rep 8
  call nothing
%endrep
  turns_of .next
  ret
align 16
nothing:
  ret

align 16
indirect_call:
  mov eax, nothing
.next:
%rep 8
  call eax
%endrep
  turns_of .next
  ret

align 16
push_pop_flags:
.next:
%rep 8
  pushfd
  popfd
%endrep
  turns_of .next
  ret

align 16
cli_sti:                          ; all lines of the PIC are masked
.next:
%rep 8
  cli
  sti
%endrep
  turns_of .next
  cli
  ret

%macro return_to_next 0
  pushfd
  push dword CODE0
  push dword %%after
  iret
%%after:
%endmacro

align 16
interrupt_return:
.next:
%rep 4
  return_to_next
%endrep
  turns_of .next
  ret

align 16
write_cr0:                        ; TS set and cleared, as a kernel does that restores the FPU late
  mov eax, cr0
  mov ecx, eax
  or ecx, 8
.next:
%rep 4
  mov cr0, ecx
  mov cr0, eax
%endrep
  turns_of .next
  ret

align 16
write_cr2:                        ; a register without any effect, the nearest to CR8 there is
.next:
%rep 8
  mov cr2, ebx
%endrep
  turns_of .next
  ret

align 16
invalidate_page:
  mov ecx, REMAPPED
.next:
%rep 8
  invlpg [ecx]
%endrep
  turns_of .next
  ret

align 16
invalidate_and_touch:
  mov ecx, REMAPPED
.next:
%rep 4
  invlpg [ecx]
  mov eax, [ecx]
%endrep
  turns_of .next
  ret

align 16
write_entries:                    ; sixteen entries in turn, the frame's number changes; no flush
.next:
%assign entry 0
%rep 16
  xor dword [PAGE_TABLES + ((REMAPPED >> 12) + entry) * 4], 0x20000
  %assign entry entry + 1
%endrep
  turns_of .next
  ret

align 16
remap:                            ; entry, INVLPG, use: what a kernel does for one page
  mov ecx, REMAPPED
.next:
%rep 2
  xor dword [PAGE_TABLES + (REMAPPED >> 12) * 4], 0x20000
  invlpg [ecx]
  mov eax, [ecx]
%endrep
  turns_of .next
  ret

align 16
switch_spaces:
  mov edx, PAGE_DIR
  mov ecx, OTHER_DIR
  mov esi, SWITCHED
.next:
  mov cr3, ecx
  mov eax, [esi]
  mov cr3, edx
  mov eax, [esi]
  turns_of .next
  ret

align 16
load_segment:
  mov eax, DATA0
  mov ecx, DATA3
.next:
%rep 4
  mov es, ecx
  mov es, eax
%endrep
  turns_of .next
  ret

align 16
port_in:
.next:
%rep 8
  in al, 0x80
%endrep
  turns_of .next
  ret

align 16
port_out:
  xor eax, eax
.next:
%rep 8
  out 0x80, al
%endrep
  turns_of .next
  ret

align 16
device_read:
  mov ecx, TEXT_PAGE
.next:
%rep 8
  mov al, [ecx]
%endrep
  turns_of .next
  ret

align 16
identify:
  mov esi, ebx
.next:
%rep 4
  xor eax, eax
  cpuid
%endrep
  dec esi
  jnz .next
  ret

align 16
read_time:
.next:
%rep 8
  rdtsc
%endrep
  turns_of .next
  ret

align 16
modify_code:
.next:
  mov [patched + 1], ebx
  call patched
  turns_of .next
  ret

; ---- the wake-up from HLT: how late after the timer's terminal count ----

; One-shots of the PIT; in mode 0 it counts on after zero, which says how late the handler is.
measure_wake_up:
  call calibrate
  gate ENTRY_TIMER, on_one_shot, 0x8e00
  mov al, 0xfe
  out 0x21, al
  mov dword [left], REPETITIONS
.repeat:
  mov dword [late], 0
  mov ebx, WAKE_UPS
.next:
  mov eax, PIT_COUNT
  call start_one_shot
  sti
  hlt
  cli
  turns_of .next
  mov eax, [late]
  mul dword [calibration_cycles]
  div dword [calibration_ticks]
  mov ebx, WAKE_UPS
  mov esi, wake_up_row
  call print_result
  dec dword [left]
  jnz .repeat
  mov al, 0xff
  out 0x21, al
  ret

start_one_shot:                   ; AX ticks
  push eax
  mov al, 0x30
  out 0x43, al
  pop eax
  out 0x40, al
  mov al, ah
  out 0x40, al
  ret

read_count:                       ; EAX
  mov al, 0
  out 0x43, al
  xor eax, eax
  in al, 0x40
  mov ah, al
  in al, 0x40
  xchg al, ah
  ret

on_one_shot:
  push eax
  call read_count
  neg ax
  movzx eax, ax
  add [late], eax
  mov al, 0x20
  out 0x20, al
  pop eax
  iret

; Cycles in some 25 ms of PIT ticks.
calibrate:
  mov eax, 0xffff
  call start_one_shot
.settle:
  call read_count
  cmp eax, 0xf000
  ja .settle
  mov ebx, eax
  rdtsc
  mov esi, eax
.wait:
  call read_count
  mov ecx, ebx
  sub ecx, eax
  cmp ecx, 30000
  jb .wait
  rdtsc
  sub eax, esi
  mov [calibration_cycles], eax
  mov [calibration_ticks], ecx
  ret

align 4
late: dd 0
calibration_cycles: dd 0
calibration_ticks: dd 0
rows:
  row "loop", 0, empty_loop, 1, IN_KERNEL
  row "syscall", prepare_system_enter, system_call_fast, 4, IN_USER
  row "int80", 0, system_call_interrupt, 4, IN_USER
  row "in", 0, port_in, 8, IN_KERNEL
  row "out", 0, port_out, 8, IN_KERNEL
  row "cr0wr", 0, write_cr0, 8, IN_KERNEL
  row "cr2wr", 0, write_cr2, 8, IN_KERNEL
  row "callret", 0, call_return, 8, IN_KERNEL
  row "icallret", 0, indirect_call, 8, IN_KERNEL
  row "pgfault", 0, page_fault, 4, IN_USER
  row "divzero", 0, divide_fault, 4, IN_USER
  row "ptemod", prepare_remapped, write_entries, 16, IN_KERNEL
  row "remap", prepare_remapped, remap, 2, IN_KERNEL
  row "invlpg", prepare_remapped, invalidate_page, 8, IN_KERNEL
  row "invlpg+use", prepare_remapped, invalidate_and_touch, 4, IN_KERNEL
  row "cr3+use", 0, switch_spaces, 2, IN_KERNEL
  row "pushfpopf", 0, push_pop_flags, 8, IN_KERNEL
  row "clisti", 0, cli_sti, 8, IN_KERNEL
  row "iret", 0, interrupt_return, 4, IN_KERNEL
  row "movseg", 0, load_segment, 8, IN_KERNEL
  row "mmio", 0, device_read, 8, IN_KERNEL
  row "cpuid", 0, identify, 4, IN_KERNEL
  row "rdtsc", 0, read_time, 8, IN_KERNEL
  row "smc", 0, modify_code, 1, IN_KERNEL
rows_end:
wake_up_row: row "hlt", 0, 0, 1, IN_KERNEL

; ---- code that is written to, alone on its page ----
align 4096
patched:
  mov eax, 0
  ret

; ---- ring 3, alone on its pages ----
align 4096
user_code:

%macro user_turns_of 1
  dec ebx
  jnz %1
  int USER_EXIT
%endmacro

%macro call_system 0
  mov edx, %%after
  sysenter
%%after:
%endmacro

align 16
system_call_fast:
  mov ecx, esp
.next:
%rep 4
  call_system
%endrep
  user_turns_of .next

align 16
system_call_interrupt:
.next:
%rep 4
  int 0x80
%endrep
  user_turns_of .next

align 16
page_fault:
  mov esi, MISSING
.next:
%rep 4
  mov eax, [esi]
%endrep
  user_turns_of .next

align 16
divide_fault:
  xor ecx, ecx
.next:
%rep 4
  div ecx
%endrep
  user_turns_of .next

align 4096
