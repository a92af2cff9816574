; exit: 0
; serial: in a file
;
; Read-modify-write and stack instructions whose memory faults: the error code tells of a write, and
; registers, flags and memory are as they were.
%include "report.inc"
RO equ 0x240000                    ; read-only
NP equ 0x250000                    ; absent
OK equ 0x230000
%macro R 2+                        ; text, instruction
  mov dword [PT + (RO >> 12)*4], RO | 5
  invlpg [RO]
  mov eax, 0x11
  mov edx, 0x22
  mov ecx, 0x33
  mov esi, OK
  mov edi, RO
  mov ebp, OK + 0x100
  clc
  TRY
  %2
  ENDTRY %1
  VAL [fcr2], "cr2"
  VAL [feip], "at"
  NL
%endmacro
%macro REGS 0
  VAL eax, "eax"
  VAL ecx, "ecx"
  VAL edx, "edx"
  VAL esi, "esi"
  VAL edi, "edi"
  NL
%endmacro
main:
  call paging_on
  mov eax, [RO]
  MAP RO, RO | 5
  MAP NP, 0
  mov dword [0x240000 - 4], 0
  R "cmpxchg equal ro", cmpxchg [RO], ecx
  REGS
  R "cmpxchg differs ro", cmpxchg [RO+4], ecx
  REGS
  R "lock cmpxchg differs ro", lock cmpxchg [RO+4], ecx
  R "cmpxchg np", lock cmpxchg [NP+0x10], ecx
  R "cmpxchg8b differs ro", lock cmpxchg8b [RO]
  R "cmpxchg8b np", cmpxchg8b [NP]
  R "xadd ro", xadd [RO], eax
  REGS
  R "xchg ro", xchg [RO], eax
  REGS
  R "xchg np", xchg [NP], eax
  R "bts ro already", bts dword [RO], 1
  R "btr ecx ro", btr [RO], ecx
  R "add 0 ro", add dword [RO], 0
  R "or np", or dword [NP], 1
  R "and byte np", and byte [NP+5], 1
  R "shl cl=0 ro", shl dword [RO], 0
  xor ecx, ecx
  R "shld ro", shld [RO], eax, 0
  R "rcl ro", rcl dword [RO], 1
  R "neg ro", neg dword [RO]
  R "setc ro", setc [RO]
  R "pop [ro]", pop dword [RO]
  VAL esp, "esp"
  NL
  R "pop [np+esp]", pop dword [esp + NP - STACK]
  R "movsb to ro", movsb
  REGS
  R "movsd from np", movsd
  mov esi, NP
  mov edi, OK
  TRY
  movsd
  ENDTRY "movsd np"
  VAL esi, "esi"
  VAL edi, "edi"
  NL
  mov esi, NP - 8
  mov edi, OK
  mov ecx, 10
  TRY
  rep movsd
  ENDTRY "rep movsd into np"
  VAL [fcr2], "cr2"
  REGS
  mov esi, NP - 6
  mov edi, OK
  mov ecx, 10
  TRY
  rep movsd
  ENDTRY "rep movsd straddling into np"
  VAL [fcr2], "cr2"
  REGS
  mov edi, NP - 6
  mov ecx, 10
  mov dword [NP-4], 0x77777777
  TRY
  rep stosd
  ENDTRY "rep stosd straddling into np"
  VAL [fcr2], "cr2"
  VAL [NP-4], "tail"
  REGS
  std
  mov edi, NP + 0x1004
  mov ecx, 10
  TRY
  rep stosd
  ENDTRY "rep stosd down into np"
  cld
  VAL [fcr2], "cr2"
  REGS
  ; write straddling: the first page ok, second absent: nothing written
  mov dword [NP-4], 0x55555555
  TRY
  mov dword [NP-2], 0xffffffff
  ENDTRY "write straddles into np"
  VAL [fcr2], "cr2"
  VAL [NP-4], "tail"
  NL
  TRY
  add dword [NP-2], 1
  ENDTRY "add straddles into np"
  VAL [fcr2], "cr2"
  VAL [NP-4], "tail"
  NL
  ; first absent, second ok
  TRY
  mov dword [NP+0xffe], 0xffffffff
  ENDTRY "write straddles from np"
  VAL [fcr2], "cr2"
  NL
  ; first read-only, second absent (write): which is told?
  MAP (RO+0x1000), 0
  TRY
  mov dword [RO+0xffe], 1
  ENDTRY "ro then np write"
  VAL [fcr2], "cr2"
  NL
  TRY
  mov eax, [RO+0xffe]
  ENDTRY "ro then np read"
  VAL [fcr2], "cr2"
  NL
  MAP (RO+0x1000), (RO+0x1000) | 7
  ; stack faults in ring 3: CALL, PUSH, ENTER, PUSHA, POPA, LEAVE, RET, INT
  mov dword [PT + (0x100000>>12)*4], 0x100000 | 7
  mov ecx, 7
.u:
  mov [which], ecx
  TRY
  mov eax, [table + ecx*4]
  push dword D3
  push dword NP + 8
  push dword 0x202
  push dword C3
  push eax
  mov ebp, NP + 0x100
  mov esi, 0x1
  mov edi, 0x2
  iretd
  ENDTRY "ring 3"
  VAL [which], "which"
  VAL [fcr2], "cr2"
  VAL [fesp], "esp"
  mov eax, [which]
  mov eax, [table+eax*4]
  sub eax, [feip]
  VAL eax, "eip-off"
  VAL ebp, "ebp"
  NL
  mov ecx, [which]
  dec ecx
  jns .u
  ; PUSHA that straddles: esp NP+0x1000+8: half good
  ret
which: dd 0
table: dd u0,u1,u2,u3,u4,u5,u6,u7
u0: push eax
u1: call u0
u2: enter 16, 0
u3: pusha
u4: popa
u5: leave
u6: ret
u7: pushf
image_end:
