; Says so, then computes in ring 3 for ever, under a timer. With BOUNDED it touches so many pages,
; one after the other, and ends.
%include "../asm/guest.inc"

main:
  call paging_on
  user_page addr(user_code)
  user_page USER_STACK - 0x1000
%ifdef BOUNDED
  mov ecx, BOUNDED
.page:
  mov eax, ecx
  shl eax, 12
  or eax, SPARE + (P | W | U)
  mov [PAGE_TABLES + (VIRTUAL >> 12) * 4 + ecx * 4], eax
  loop .page
%endif
  call flush_tlb
  mov ecx, 11932                  ; 100 Hz
  call start_timer
  say "computing"
  mov eax, user_code
  mov edx, USER_STACK
  call run_user
  say "done"
  ret

align 4096
user_code:
%ifdef BOUNDED
  mov edx, BOUNDED
.outer:
  mov ecx, 10000000
.next:
  lea eax, [eax + ecx]
  loop .next
  mov ecx, edx
  shl ecx, 12
  inc dword [VIRTUAL + ecx]
  inc dword [VIRTUAL + ecx]
  dec edx
  jnz .outer
  user_exit
%else
  inc eax
  jmp user_code
%endif
align 4096
