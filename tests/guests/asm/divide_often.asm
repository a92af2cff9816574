; A division site that faults so often that it is translated with a look at the divisor: registers,
; flags and the pushed EIP are those of the fault each time, and division still divides.
; exit: 0
; serial:
;   word, byte and double word
;   flags kept
;   user site
%include "guest.inc"

on_divide:                          ; resumes behind the instruction; counts
  inc dword [divides]
  mov eax, [ebp + frame.eip]
  mov [fault_eip], eax
  mov eax, [ebp + frame.eflags]
  mov [fault_eflags], eax
  mov eax, [ebp + frame.ebx]
  mov [ebp + frame.eip], eax        ; EBX says where
  ret

%macro often 2                      ; instruction, divisor register to be zeroed
  mov dword [divides], 0
  mov edi, 100
%%next:
  mov eax, 12
  xor edx, edx
  xor %2, %2
  mov ebx, %%after
%%site:
  %1
  fail "no fault"
%%after:
  check_equal eax, 12, "eax"
  check_equal edx, 0, "edx"
  check_equal [fault_eip], %%site, "eip"
  dec edi
  jnz %%next
  check_equal [divides], 100, "count"
%endmacro

main:
  call paging_on
  user_page addr(user_code)
  user_page USER_STACK - 0x1000
  hook 0, on_divide
  often {div ecx}, ecx
  often {idiv ecx}, ecx
  often {div cx}, ecx
  often {div cl}, ecx
  often {idiv ch}, ecx
  mov ecx, 5
  mov eax, 36
  xor edx, edx
  div ecx
  check_equal eax, 7, "quotient"
  check_equal edx, 1, "remainder"
  say "word, byte and double word"

  mov edi, 10
.flags:
  xor ecx, ecx
  mov eax, 1
  xor edx, edx
  mov ebx, .resume
  cmp eax, 2                        ; CF, SF, AF, PF set; ZF, OF clear
  std
  div ecx
.resume:
  cld
  mov eax, [fault_eflags]
  and eax, 0x8d5 | 0x400
  check_equal eax, 0x495, "flags"
  dec edi
  jnz .flags
  say "flags kept"

  mov dword [divides], 0
  mov eax, user_code
  mov edx, USER_STACK
  call run_user
  check_equal [divides], 300, "user count"
  say "user site"
  finish 0

align 4
divides: dd 0

align 4096
user_code:
  mov edi, 300
.next:
  xor ecx, ecx
  mov eax, 1
  mov ebx, .after
  div ecx
.after:
  dec edi
  jnz .next
  user_exit
