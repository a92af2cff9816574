; POPF in ring 3 leaves IF and IOPL alone and says nothing; PUSHF shows the real IF; with IOPL 3 it
; changes IF. IRET in ring 3 neither.
; exit: 0
; serial:
;   if set 00000200
;   popf off 00000200
;   popf iopl 00000000
;   arithmetic 000008d5
;   if clear 00000000
;   popf on 00000000
;   iopl 3 cli 00000000
;   iopl 3 sti 00000200
;   iret off 00000200
%include "guest.inc"

%macro in_user 2                  ; text, label; EAX of the program
  print %1, " "
  mov eax, %2
  mov edx, USER_STACK
  mov dword [user_flags_set], 0
  call run_user_with_flags
%endmacro

main:
  call paging_on
  user_page addr(user_code)
  user_page USER_STACK - 0x1000
  call flush_tlb
  hook 0x81, dump
  mov byte [IDT_AREA + 0x81 * 8 + 5], 0xee
  sti
  in_user "if set", shows_if
  sti                             ; INT 0x80 came through an interrupt gate
  in_user "popf off", pops_off
  sti
  in_user "popf iopl", pops_iopl
  in_user "arithmetic", pops_arithmetic
  cli
  in_user "if clear", shows_if
  in_user "popf on", pops_on
  pushfd
  or dword [esp], 0x3000
  popfd
  in_user "iopl 3 cli", user_cli
  in_user "iopl 3 sti", user_sti
  pushfd
  and dword [esp], ~0x3000
  popfd
  sti
  in_user "iret off", irets_off
  cli
  ret

dump:
  mov eax, [ebp + frame.eax]
  call print_hex
  say ""
  ret

align 4096
user_code:
shows_if:
  pushfd
  pop eax
  and eax, 0x200
  int 0x81
  user_exit
pops_off:
  pushfd
  and dword [esp], ~0x200
  popfd
  jmp shows_if
pops_on:
  pushfd
  or dword [esp], 0x200
  popfd
  jmp shows_if
pops_iopl:
  pushfd
  or dword [esp], 0x3000
  popfd
  pushfd
  pop eax
  and eax, 0x3000
  int 0x81
  user_exit
pops_arithmetic:
  pushfd
  or dword [esp], 0x8d5
  popfd
  pushfd
  pop eax
  and eax, 0x8d5
  int 0x81
  pushfd
  and dword [esp], ~0x8d5
  popfd
  user_exit
user_cli:
  cli
  jmp shows_if
user_sti:
  sti
  jmp shows_if
irets_off:
  pushfd
  and dword [esp], ~0x200
  push dword CODE3
  push dword shows_if
  iret
align 4096
