; With CR0.NE clear an unmasked x87 error is no exception: the instruction that waits for it stands
; until an interrupt comes, which is 13 if the board has its way. Port 0xf0 takes the request back,
; and lets instructions run in spite of the error, until it is gone. (SDM 1 8.7.2)
; exit: 0
; serial:
;   interrupt 13 before the instruction that waits
;   an ignored error holds nobody
;   the next error interrupts again
;   a masked line lets other interrupts in
;   with NE it is an exception
;   ring 3
%include "guest.inc"

ZERO_DIVIDE equ 4                 ; ZE

main:
  call native_errors_off
  hook 0x2d, on_error
  mov al, 0xfb
  out 0x21, al
  mov al, 0xdf
  out 0xa1, al
  sti
  mov byte [clears], 1
  call divide_by_zero
.first:
  fwait
  check_equal [errors], 1, "errors"
  check_equal [error_eip], .first, "where the first error interrupts"
  call expect_error_bits
  say "interrupt 13 before the instruction that waits"

  mov byte [clears], 0
  call divide_by_zero
.second:
  fld1
  check_equal [errors], 2, "errors while they are not ignored"
  check_equal [error_eip], .second, "where the second error interrupts"
  fld1
  fcompp
  fnstsw ax
  test al, ZERO_DIVIDE
  jz .lost
  check_equal [errors], 2, "errors while they are ignored"
  say "an ignored error holds nobody"

  mov byte [clears], 1
  fnclex
  call divide_by_zero
.third:
  fwait
  check_equal [errors], 3, "errors after one that was ignored"
  check_equal [error_eip], .third, "where the third error interrupts"
  say "the next error interrupts again"

  cli
  mov ecx, 1193182 / 1000
  call start_timer
  hook 0x20, unmask_in_time
  mov al, 0xff
  out 0xa1, al
  call divide_by_zero
  sti
.fourth:
  fwait
  cli
  check_equal [errors], 4, "errors on a masked line"
  check_equal [error_eip], .fourth, "where the fourth error interrupts"
  cmp dword [ticks], 3
  jb .early
  say "a masked line lets other interrupts in"

  mov eax, cr0
  or eax, 0x20
  mov cr0, eax
  call divide_by_zero
  try .caught
  fwait
  fail "no exception"
.caught:
  check_equal [fault_vector], 16, "vector"
  check_equal [errors], 4, "errors with NE"
  say "with NE it is an exception"

  call native_errors_off
  fninit
  call paging_on
  user_page addr(user_code)
  user_page USER_STACK - 0x1000
  call flush_tlb
  mov eax, user_code
  mov edx, USER_STACK
  call run_user
  cli
  check_equal [errors], 5, "errors of ring 3"
  check_equal [error_eip], user_waits, "where ring 3 is interrupted"
  say "ring 3"
  ret
.lost:
  fail "the error is gone that was ignored"
.early:
  fail "the masked interrupt came"

native_errors_off:
  mov eax, cr0
  and eax, ~0x2e                  ; no NE, TS, EM, MP
  mov cr0, eax
  ret

divide_by_zero:
  fninit
  fldcw [unmasked]
  fld1
  fldz
  fdivp
  ret

expect_error_bits:
  mov eax, [error_status]
  and eax, 0x80 | ZERO_DIVIDE     ; ES
  check_equal eax, 0x80 | ZERO_DIVIDE, "status in the handler"
  ret

on_error:
  inc dword [errors]
  mov eax, [ebp + frame.eip]
  mov [error_eip], eax
  xor eax, eax
  fnstsw ax
  mov [error_status], eax
  xor al, al
  out 0xf0, al
  cmp byte [clears], 0
  je .keep
  fnclex
.keep:
  mov al, 0x20
  out 0xa0, al
  out 0x20, al
  ret

unmask_in_time:
  call on_tick
  cmp dword [ticks], 3
  jb .not_yet
  mov al, 0xfb                    ; the timer has done its work
  out 0x21, al
  mov al, 0xdf
  out 0xa1, al
.not_yet:
  ret

align 4
errors: dd 0
error_eip: dd 0
error_status: dd 0
unmasked: dw 0x37b                ; all but ZM
clears: db 0

align 4096
user_code:
  fninit
  fldcw [user_unmasked]
  fld1
  fldz
  fdivp
user_waits:
  fwait
  user_exit
user_unmasked: dw 0x37b
align 4096
